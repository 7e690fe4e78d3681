"""SAM and SAM 2 in everything mode: masks of the photo's size, ranked, alike in every batch; prepared as published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_models import save_depth_anything, save_sam, save_sam2
from vclr.coco.annotations import load_coco
from vclr.errors import UserError
from vclr.object_proposals import sam
from vclr.object_proposals.options import MethodOptions
from vclr.object_proposals.sam import Frame, open_proposer
from vclr.object_proposals.write import write_proposals
from vclr.pictures import write_png
from vclr.pretrained import load_pretrained

PHOTOS = [
    np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    for seed, size in enumerate([(48, 64), (61, 33), (20, 20)])
]
NAMES = ["a.png", "b.png", "c.png"]


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam, "POINTS_PER_SIDE", 9)  # two batches of points


def options(folder: Path) -> MethodOptions:
    return MethodOptions(model=str(folder), device="cpu", dtype="float32", max_proposals=6)


@pytest.mark.parametrize("save", [save_sam, save_sam2])
def test_masks_have_the_size_of_the_photo_and_a_batch_equals_its_photos(
    save: Callable[[Path], Path], tmp_path: Path
) -> None:
    proposer = open_proposer(options(save(tmp_path / "model")))
    assert proposer.facts["license"] == "apache-2.0"
    together = proposer.propose(PHOTOS, NAMES)
    for photo, name, (masks, scores) in zip(PHOTOS, NAMES, together, strict=True):
        assert masks.shape == (len(scores), *photo.shape[:2]) and masks.dtype == bool
        assert 0 < len(scores) <= 6 and (np.diff(scores) <= 0).all()
        ((alone, own),) = proposer.propose([photo], [name])
        assert (alone == masks).mean() > 0.999
        np.testing.assert_allclose(own, scores, atol=1e-5)


def test_photos_are_prepared_as_the_published_processor_does(tmp_path: Path) -> None:
    from transformers import SamImageProcessorPil

    folder = save_sam(tmp_path / "model")
    frame = Frame(load_pretrained("masks", str(folder)).processor)
    for photo in PHOTOS:
        expected = SamImageProcessorPil.from_pretrained(folder)(photo, return_tensors="pt")
        np.testing.assert_allclose(frame.prepare(photo), expected["pixel_values"][0], atol=1e-5)
        assert frame.used(photo.shape[:2]) == tuple(expected["reshaped_input_sizes"][0].tolist())


def test_the_command_writes_a_sound_json_and_refuses_other_models(tmp_path: Path) -> None:
    for photo, name in zip(PHOTOS, NAMES, strict=True):
        write_png(tmp_path / "photos" / name, photo)
    folder = save_sam(tmp_path / "model")
    output = write_proposals("sam", tmp_path / "photos", tmp_path / "p.json", quiet=True, options=options(folder))
    coco = load_coco(output, tmp_path / "photos")
    assert coco["info"]["method"] == "sam" and coco["info"]["model"] == "model" and len(coco["info"]["sha256"]) == 64
    assert {one["image_id"] for one in coco["annotations"]} == {1, 2, 3}
    with pytest.raises(UserError, match="depth: cannot be loaded as a model of masks"):
        open_proposer(options(save_depth_anything(tmp_path / "depth")))
