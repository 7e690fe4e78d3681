"""Depth in the cut: what looks the same at another distance is another object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.object_proposals.tiny_vits import save_vit
from vclr.coco.annotations import load_coco
from vclr.errors import UsageError, UserError
from vclr.files import write_json
from vclr.generate.toy import render_scene
from vclr.object_proposals.depth_cut import DepthFolder
from vclr.object_proposals.maskcut import MaskCut
from vclr.object_proposals.options import MethodOptions
from vclr.object_proposals.proposals_file import list_licenses
from vclr.object_proposals.write import write_proposals
from vclr.pictures import write_png

NEAR = np.s_[12:36, 20:44]


@pytest.fixture
def depth(tmp_path: Path) -> Path:
    picture = np.full((48, 64, 3), 20, np.uint8)
    picture[NEAR] = 240
    write_png(tmp_path / "depth" / "photo.png", picture)
    return tmp_path / "depth"


def alike(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Return features that differ too little for a cut."""
    return torch.ones(len(images), 12 * 16, 8)


def test_an_object_in_its_own_color_is_found_by_its_depth(depth: Path) -> None:
    photo = np.full((48, 64, 3), 90, np.uint8)
    ((without, _),) = MaskCut(alike, (12, 16)).propose([photo], ["photo.jpg"])
    ((masks, _),) = MaskCut(alike, (12, 16), depth=DepthFolder(depth)).propose([photo], ["photo.jpg"])
    expected = np.zeros((48, 64), bool)
    expected[NEAR] = True
    assert len(without) == 0
    assert (masks[0] & expected).sum() / (masks[0] | expected).sum() > 0.8


def test_depth_is_read_on_the_grid_and_spans_0_to_1(depth: Path) -> None:
    photo = np.zeros((48, 64, 3), np.uint8)
    values = DepthFolder(depth)([photo], ["photo.jpg"], (12, 16)).reshape(12, 16).numpy()
    assert (values.min(), values.max()) == (0, 1)
    assert (values[3:9, 5:11] == 1).all()
    assert values.sum() == 36
    write_png(depth / "flat.png", np.full((4, 4, 3), 7, np.uint8))
    assert not DepthFolder(depth)([photo[:4, :4]], ["flat.jpg"], (2, 2)).any()


def test_depth_of_another_size_is_not_of_this_photo(depth: Path) -> None:
    with pytest.raises(UserError, match=r"photo\.png: is 64x48, but the photo is 48x64"):
        DepthFolder(depth)([np.zeros((64, 48, 3), np.uint8)], ["photo.jpg"], (12, 16))


def test_a_photo_without_depth_fails_alone(depth: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no depth of other\.jpg; make it with `vclr views --view depth`"):
        DepthFolder(depth)([np.zeros((48, 64, 3), np.uint8)] * 2, ["photo.jpg", "other.jpg"], (12, 16))
    model = str(save_vit(tmp_path / "vit"))
    for name in ("other", "photo"):
        write_png(tmp_path / "images" / f"{name}.png", render_scene(0, 0, "train", 64).natural[:48])
    options = MethodOptions(model=model, depth=depth, device="cpu", batch_size=2, max_proposals=2)
    output = write_proposals("depth_cut", tmp_path / "images", tmp_path / "p.json", quiet=True, options=options)
    coco = load_coco(output)
    assert [image["file_name"] for image in coco["images"]] == ["photo.png"]
    assert coco["info"]["failed"].keys() == {"other.png"}


def test_other_depth_is_other_work(depth: Path) -> None:
    before = DepthFolder(depth).sha256
    assert DepthFolder(depth).sha256 == before
    write_png(depth / "photo.png", np.zeros((48, 64, 3), np.uint8))
    without_manifest = DepthFolder(depth).sha256
    (depth / "manifest.json").write_text('{"view": "depth"}')
    assert len({before, without_manifest, DepthFolder(depth).sha256}) == 3


def test_proposals_name_the_license_of_the_depth(depth: Path) -> None:
    facts = {"method": "depth_cut", "license": "apache-2.0"}
    assert list_licenses({**facts, "depth": DepthFolder(depth).describe()}) == ["apache-2.0"]
    made = {"view": "depth", "model": "of/someone", "license": "cc-by-nc-4.0"}
    write_json(depth / "manifest.json", {**made, "files": {}, "num_files": 0})
    described = DepthFolder(depth).describe()
    assert described["info"] == made
    assert list_licenses({**facts, "depth": described}) == ["apache-2.0", "cc-by-nc-4.0"]


def test_a_depth_cut_needs_depth(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs --depth"):
        write_proposals("depth_cut", tmp_path, tmp_path / "p.json", quiet=True)
