"""Training and evaluation do what the doctor says about each kind."""

from __future__ import annotations

import pytest

from tests.data.doctor.test_annotations import DAMAGED
from tests.data.doctor.world import HEIGHT, WIDTH, Json, World, notes, wrong
from vclr.coco.annotations import load_coco
from vclr.data.objects import Objects
from vclr.data.samples import TrainingSamples
from vclr.data.transforms import Geometry
from vclr.errors import UserError
from vclr.evaluation.recall import score

AS_IT_IS = Geometry(False, None, (0, 0, HEIGHT, WIDTH), (HEIGHT, WIDTH))


def damage(world: World, case: str) -> str:
    """Damage the only annotation, and return the doctor's findings about it."""
    world.annotations = [{**world.annotations[0], **DAMAGED[case][0]}]
    world.images = world.images[:1]
    (finding,) = (finding for finding in wrong(world.check()) if "annotations[0]" in finding.says)
    return finding.says


USABLE = [case for case, (_, level, _, _) in DAMAGED.items() if level == "warning" and case != "annotated twice"]


@pytest.mark.parametrize("case", USABLE)
def test_training(world: World, case: str):
    says = damage(world, case)
    boxes, masks, _ = Objects.from_annotations(load_coco(world.folder / "a.json")["annotations"]).move(
        AS_IT_IS, (HEIGHT, WIDTH)
    )
    assert ("dropped from training" in says) == (len(boxes) == 0)
    if "no pixel" in says:
        assert ("trained on with its box, and an empty mask" in says) == (masks.whole().sum() == 0 and len(boxes) == 1)
    if "cut at the border" in says:
        assert boxes[0, 0] + boxes[0, 2] / 2 == 1


def perfect(annotation: Json) -> Json:
    """Return the predictions of a detector that sees only the image."""
    left, top, width, height = annotation["bbox"]
    x, y = min(left, WIDTH), min(top, HEIGHT)
    box = [x, y, min(left + width, WIDTH) - x, min(top + height, HEIGHT) - y]
    found = {"image_id": annotation["image_id"], "category_id": 1, "score": 1.0, "bbox": box}
    return {**found, "segmentation": annotation["segmentation"]}


@pytest.mark.parametrize("case", USABLE)
def test_evaluation(world: World, case: str):
    """Evaluate a detector that finds exactly the annotated objects."""
    says = damage(world, case)
    metrics = score(world.folder / "a.json", [perfect(world.annotations[0])])
    if "object that cannot be found" in says:
        assert metrics["box_ar@100"] == 0
    elif "left out of evaluation" in says:
        assert metrics["box_ar@100"] is None
    elif "uncut" in says:
        assert 0 < metrics["box_ar@100"] < 100
    else:
        assert metrics["box_ar@100"] == pytest.approx(100)
    if "mask that cannot be found" in says:
        assert metrics["mask_ar@100"] == 0
    if "as a small object" in says:
        assert metrics["box_ar@100_small"] == pytest.approx(100)
    if "goes by `area`" in says:
        assert metrics["mask_ar@100_small"] is None
        assert metrics["mask_ar@100_medium"] == pytest.approx(100)


@pytest.mark.parametrize("case", [case for case, (_, level, _, _) in DAMAGED.items() if level == "error"])
def test_refusals(world: World, case: str):
    world.annotations[1] = {**world.annotations[1], **DAMAGED[case][0]}
    (finding,) = wrong(world.check())
    with pytest.raises(UserError) as caught:
        TrainingSamples(world.config("views.weights={natural: 1}", "data.train.proposals=''"))
    assert finding.says == f"{caught.value}; refused before anything starts"


def test_empty_images(world: World):
    world.annotations = world.annotations[:4]
    says = [finding.says for finding in wrong(world.check())]
    assert len(says) == 1 and says[0].endswith("left out")
    own = ["views.weights={natural: 1}", "data.train.proposals=''"]
    assert len(TrainingSamples(world.config(*own))) == 2
    keep = "dataloader.train.dataset.filter_empty=False"
    assert "trained on as background" in notes(world.check_config(keep))["image without object"]
    assert len(TrainingSamples(world.config(*own, keep))) == 3
