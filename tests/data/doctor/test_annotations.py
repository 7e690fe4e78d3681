"""Entries of a json: each kind of damage gives one finding, with the entry and the consequence."""

from __future__ import annotations

import pytest

from tests.data.doctor.world import HEIGHT, WIDTH, Json, World, notes, rectangle, run_lengths, wrong
from vclr.finding import ERROR, WARNING

# What an annotation becomes, and its finding: level, topic, and what is said beside the entry.
DAMAGED: dict[str, tuple[Json, str, str, list[str]]] = {
    "box outside": (
        {"bbox": [70, 4, 20, 8]},
        WARNING,
        "box outside the image",
        ["in an image of 60x40 px", "dropped from training", "cannot be found"],
    ),
    "box partly outside": (
        {"bbox": [50, 4, 20, 8], "segmentation": rectangle(50, 4, 20, 8), "area": 80},
        WARNING,
        "box partly outside the image",
        ["reaches 10.0 px", "cut at the border in training", "uncut"],
    ),
    "box larger than its mask": (
        {"bbox": [4, 4, 20, 12]},
        WARNING,
        "box off its mask",
        ["by 4.0 px", "box and mask are used as they are"],
    ),
    "box beside its mask": (
        {"bbox": [9, 4, 20, 8]},
        WARNING,
        "box off its mask",
        ["by 5.0 px"],
    ),
    "area of another mask": (
        {"area": 1500},
        WARNING,
        "area off its mask",
        ["area is 1500, but the mask has 160 px (medium instead of small)", "evaluation uses `area`"],
    ),
    "area of zero": ({"area": 0}, WARNING, "area of zero", ["evaluated as a small object"]),
    "negative area": ({"area": -2.5}, WARNING, "negative area", ["area -2.5", "left out of evaluation"]),
    "area that is no number": ({"area": "big"}, ERROR, "area", ["area 'big'", "refused before anything starts"]),
    "iscrowd that is no flag": ({"iscrowd": None}, ERROR, "iscrowd", ["iscrowd None is neither 0 nor 1", "refused"]),
    "mask without a pixel": (
        {"segmentation": run_lengths(0, 0, 0, 0)},
        WARNING,
        "empty mask",
        ["no pixel", "dropped from training", "mask that cannot be found"],
    ),
    "outline without a pixel": (
        {"segmentation": rectangle(4.1, 4.1, 0.1, 0.1)},
        WARNING,
        "empty mask",
        ["no pixel", "trained on with its box", "mask that cannot be found"],
    ),
    "polygon out of reach": (
        {"segmentation": [[4, 4, 24, 12, 1e9, 1e9]]},
        ERROR,
        "polygon",
        ["polygon 0 contains a number that cannot be a coordinate", "refused before anything starts"],
    ),
    "damaged run lengths": (
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [7]}},
        ERROR,
        "RLE",
        ["RLE counts do not add up", "refused"],
    ),
    "box of three numbers": ({"bbox": [4, 4, 20]}, ERROR, "box", ["is not [x, y, width, height]", "refused"]),
    "no such image": ({"image_id": 9}, ERROR, "annotation without image", ["image 9 is not in `images`", "refused"]),
    "no such class": ({"category_id": 9}, ERROR, "annotation without category", ["category 9", "refused"]),
    "id twice": ({"id": 0}, ERROR, "id that occurs twice", ["the id occurs twice", "refused"]),
    "annotated twice": (
        {"category_id": 1, "bbox": [4, 4, 20, 8], "segmentation": rectangle(4, 4, 20, 8)},
        WARNING,
        "annotated twice",
        ["of annotations[0]", "both are trained on", "one detection finds only one"],
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_annotation_is_named(world: World, case: str):
    change, level, topic, says = DAMAGED[case]
    # The second object of the first photo; the box of the first, so that only the change is wrong.
    own = {"bbox": [4, 4, 20, 8], "segmentation": rectangle(4, 4, 20, 8)}
    world.annotations[1] = {**world.annotations[1], **own, **change}
    (finding,) = wrong(world.check())
    assert (finding.level, finding.topic) == (level, topic)
    for part in (f"{world.folder}/a.json: annotations[1]", *says):
        assert part in finding.says


def test_every_damaged_annotation_is_listed(world: World):
    world.annotations = [{**annotation, "bbox": [4, 4, 8]} for annotation in world.annotations[:5]]
    world.annotations.append({"id": 5, "image_id": 0, "category_id": 1, "bbox": [4, 4, 20, 8], "area": 160})
    report = world.check()
    entries = [finding.says.split()[1] for finding in wrong(report) if finding.topic == "box"]
    assert entries == [f"annotations[{number}]" for number in range(5)]
    assert report.num_errors == 5


def test_what_is_dropped_is_listed_by_kind(world: World):
    sound = {**world.annotations[0], "segmentation": [*rectangle(4, 4, 20, 8), [4, 4]]}
    empty = [{**world.annotations[1], "id": number, "bbox": [4, 4, 0, 8]} for number in (6, 7)]
    odd = {**world.annotations[2], "segmentation": [[1, 1, 5, 5, 9]]}
    world.annotations = [sound, *empty, odd, *world.annotations[3:]]
    world.proposals["annotations"][0]["bbox"] = [30, 20, 9, -9]
    fix = "`vclr repair {} --output NEW.json` writes a clean file"
    expected = {
        "polygons under three points": (
            "1 polygon dropped from annotations that are kept; first: annotations[0] (id 0): polygon 1 has 1 point,"
        ),
        "empty boxes": "2 of 7 annotations dropped; first: annotations[1] (id 6): box is 0x8 px",
        "polygons with an odd number of coordinates": (
            "1 of 7 annotations dropped; first: annotations[3] (id 2): polygon 0 has 5 coordinates"
        ),
    }
    own = "data.train.views={}", "views.weights={natural: 1}"
    found = [finding for finding in wrong(world.check_config(*own)) if finding.fix.startswith("`vclr repair")]
    of_proposals = found.pop()
    assert "p.json: 1 of 1 annotations dropped; first: annotations[0] (id 1): box is 9x-9 px" in of_proposals.says
    assert [finding.topic for finding in found] == list(expected)
    for finding in found:
        assert finding.level == WARNING
        assert expected[finding.topic] in finding.says
        assert finding.fix == fix.format(world.folder / "a.json")
    assert "4 objects" in notes(world.check())["contents"]


def test_rounding_is_no_finding(world: World):
    world.annotations[0].update(bbox=[2.1, 2.2, 22.9, 10.9], area=164)  # 3 px off, 1 px and 5 % at most
    world.annotations[2].update(bbox=[4, 4, 56.9, 8], area=455, segmentation=rectangle(4, 4, 56.9, 8))
    assert wrong(world.check()) == []


def test_outline_of_a_thin_object_has_another_area_than_its_pixels(world: World):
    world.annotations[0].update(bbox=[4, 4, 20, 0.5], area=10, segmentation=rectangle(4, 4, 20, 0.5))
    assert wrong(world.check()) == []


def test_crowds_are_no_matter(world: World):
    world.annotations[0].update(iscrowd=1, area=900, bbox=[70, 4, 20, 8], segmentation=run_lengths(4, 4, 20, 8))
    report = world.check()
    assert wrong(report) == []
    found = [finding for finding in report.findings if "annotations[0]" in finding.says]
    assert {finding.topic for finding in found} == {"box outside the image", "area off its mask"}
    assert all("harmless, because it is a crowd" in finding.says for finding in found)
    assert "has 1 crowd: left out of training" in notes(report)["crowds"]


def test_ways_to_write_a_mask_are_counted(world: World):
    world.annotations[0]["segmentation"] = run_lengths(4, 4, 20, 8)
    counts = [4 * HEIGHT + 14, *[8, HEIGHT - 8] * 19, 8, (WIDTH - 24) * HEIGHT + HEIGHT - 22]
    world.annotations[1]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": counts}
    del world.annotations[2]["area"]
    report = world.check()
    assert wrong(report) == []
    assert "4 as polygons, 1 as uncompressed RLE, 1 as compressed RLE; all are read" in notes(report)["masks"]
    assert "no area in 1 annotation; evaluation takes the size of the box" in notes(report)["area"]
    world.annotations[3]["segmentation"] = []
    assert "no mask in 1 annotation; boxes are used instead" in notes(world.check())["masks"]
