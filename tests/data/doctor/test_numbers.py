"""The doctor's findings about numbers: NaN and infinities, units, and layouts of boxes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data.doctor.world import HEIGHT, WIDTH, World, only, wrong
from vclr.data.doctor.check import check_files
from vclr.data.doctor.kinds import REFUSED
from vclr.data.samples import TrainingSamples
from vclr.errors import UserError
from vclr.finding import ERROR, WARNING
from vclr.worker_pool import WorkerPool


def test_a_number_that_json_lacks_hides_nothing_else(world: World):
    world.annotations[0]["quality"] = float("nan")
    world.annotations[1]["bbox"] = [1, 1, float("inf"), 4]
    world.images[2]["extra"] = float("-inf")
    world.annotations[3]["category_id"] = 9
    (world.folder / "images" / "a.png").unlink()
    says = [finding.says for finding in wrong(world.check()) if finding.level == ERROR]
    path = world.folder / "a.json"
    assert says[:3] == [
        f"{path}: images[2] (id 2): extra is -Infinity, which is not valid json; refused before anything starts",
        f"{path}: annotations[0] (id 0): quality is NaN, which is not valid json; refused before anything starts",
        f"{path}: annotations[1] (id 1): bbox[2] is Infinity, which is not valid json; {REFUSED}",
    ]
    assert "annotations[3] (id 3): category 9" in says[3]
    assert "a.png: does not exist" in says[4]
    assert len(says) == 5


def test_a_number_that_json_lacks_is_refused_in_the_doctors_words(world: World):
    world.annotations[0]["quality"] = float("nan")
    says = only(world.check(), "number", ERROR)
    with pytest.raises(UserError) as caught:
        TrainingSamples(world.config("views.weights={natural: 1}", "data.train.proposals=''"))
    assert says == f"{caught.value}; refused before anything starts"


def boxes(world: World, change: Any) -> None:
    for number, annotation in enumerate(world.annotations):
        annotation["bbox"] = change(number, annotation["bbox"])
        for key in ("segmentation", "area"):
            annotation.pop(key, None)


def test_shares_of_the_image(world: World):
    boxes(world, lambda _, box: [box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT])
    errors = [finding for finding in wrong(world.check()) if finding.level == ERROR]
    assert [finding.topic for finding in errors] == ["units"]
    assert "a.json: all 6 boxes lie within 1 px of the corner: are they fractions" in errors[0].says
    assert sum(finding.topic == "box below a pixel" for finding in wrong(world.check())) == 6


def test_corners_in_place_of_sides(world: World):
    boxes(world, lambda number, _: [20 + number, 15, 55, 38])
    findings = [finding for finding in wrong(world.check()) if finding.topic == "form of the boxes"]
    (finding,) = findings
    assert finding.level == WARNING
    assert "6 of 6 boxes reach beyond their images, but none would as [x, y, x2, y2]" in finding.says


@pytest.mark.parametrize("box", [[30, 15, 25, 38], [20, 15, 62, 38], [4, 4, 30, 30]])
def test_a_box_that_cannot_be_corners_settles_it(world: World, box: list[float]):
    boxes(world, lambda number, _: [20 + number, 15, 55, 38] if number else box)
    if box == [4, 4, 30, 30]:  # which can be both
        box = world.annotations[0]["bbox"] = [4, 4, 3, 30]
    assert not [finding for finding in wrong(world.check()) if finding.topic == "form of the boxes"]


@pytest.mark.parametrize(("side", "count"), [(160, 1), (160, 0), (120, 0)])
def test_percentages(world: World, side: int, count: int):
    """Boxes up to 100 are only doubted in larger images, and not if one box is beyond 100."""
    for image in world.images:
        image.update(height=side, width=side)
    one = {"image_id": 0, "category_id": 1, "bbox": [20.5, 30.25, 60, 69]}
    world.annotations = [{**one, "id": number} for number in range(24)]
    world.annotations += [{**one, "id": 99, "bbox": [90, 1, 30, 5]}] * count
    topics = {finding.topic for finding in wrong(world.check(decode=False))}
    assert ("units" in topics) == (side == 160 and count == 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1e999", "annotations[1] (id 1): area is Infinity, which is not valid json"),
        ('"\\ud800"', "not usable json"),
        ("[" * 5000 + "]" * 5000, "not usable json"),
    ],
)
def test_what_cannot_be_read_of_one_annotation_hides_no_other(world: World, text: str, says: str):
    world.annotations[1]["area"] = "HERE"
    world.annotations[2]["category_id"] = 9
    path = world.write()
    path.write_text(path.read_text().replace('"HERE"', text))
    found = [finding.says for finding in wrong(check_files(world.files(), WorkerPool())) if finding.level == ERROR]
    assert says in found[0]
    assert len(found) == 1 or "category 9" in found[-1]  # else the file as a whole cannot be taken apart
    assert len(found) == 2 or text != "1e999"
