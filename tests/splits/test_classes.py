"""Class lists: as many as there are, each once, and the same class under every name."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.objects365 import OBJECTS365_NOVEL, SYNSETS_OF_JUDGED, known_classes
from tests.shared import EVALUATOR_FILES, PHOTOS
from tests.splits.objects365 import OBJECTS365
from vclr.catalog.classes import COCO_CLASSES, COCO_SYNSETS, VOC_CLASSES
from vclr.errors import UserError
from vclr.files import read_json
from vclr.splits.class_matching import NOT_IN_LVIS, OBJECTS365_KINDS, OBJECTS365_NAMES, match_objects365, match_synsets

ROOT = Path(__file__).parents[2]
LVIS = EVALUATOR_FILES / "lvis_v05_val_100/lvis_val_100.json"


def categories_of(names: list[str]) -> list[dict[str, object]]:
    return [{"id": number, "name": name} for number, name in enumerate(names, start=1)]


def test_numbers_of_classes():
    assert len(VOC_CLASSES) == len(set(VOC_CLASSES)) == 20
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    assert len(set(COCO_SYNSETS.values())) == 80
    assert set(VOC_CLASSES) < set(COCO_CLASSES)
    assert set(NOT_IN_LVIS) < set(COCO_CLASSES)
    assert set(OBJECTS365_NAMES) | set(OBJECTS365_KINDS) < set(COCO_CLASSES)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for annotations")
def test_coco_classes_are_those_of_its_json_in_its_order():
    categories = read_json(PHOTOS / "annotations.json")["categories"]
    assert tuple(category["name"] for category in categories) == COCO_CLASSES


def test_no_class_of_objects365_is_two_of_coco():
    spellings = [name.casefold() for names in OBJECTS365_NAMES.values() for name in names]
    spellings += [name.casefold() for kinds in OBJECTS365_KINDS.values() for name in kinds.names]
    spellings += [name for name in COCO_CLASSES if name not in OBJECTS365_NAMES]
    assert len(spellings) == len(set(spellings))


def test_classes_of_objects365_that_are_coco_s():
    assert len(OBJECTS365) == len(set(OBJECTS365)) == 365
    found = match_objects365(categories_of(OBJECTS365), COCO_CLASSES, "o.json")
    named = {OBJECTS365[number - 1].strip() for number in found}
    num_kinds = sum(len(kinds.names) for kinds in OBJECTS365_KINDS.values()) - 1  # one in two spellings
    assert len(named) == 80 + num_kinds
    assert {"Person", "Wild Bird", "Moniter/TV", "Dinning Table", "Hot dog", "SUV", "Table Tennis"} <= named
    assert not {"Sneakers", "Lamp", "Desk", "Tablet", "Sausage", "Golf Club", "Lion"} & named


def test_judged_classes_are_classes_and_what_the_split_makes_of_them():
    classes = {name.strip() for name in OBJECTS365} | {"Billiards"}  # the corrected spelling of one
    known = [name for kinds in OBJECTS365_KINDS.values() for name in kinds.names]
    novel = [name for names in OBJECTS365_NOVEL.values() for name in names]
    assert {*known, *novel} <= classes and len({*known, *novel}) == len(known) + len(novel)
    found = match_objects365(categories_of(OBJECTS365), COCO_CLASSES, "o.json")
    names = {OBJECTS365[number - 1].strip() for number in found}
    assert set(known) - {"Billiards"} <= names and not set(novel) & names
    assert set(SYNSETS_OF_JUDGED) <= {*known, *novel}


def test_judged_classes_are_novel_in_lvis():
    assert not set(SYNSETS_OF_JUDGED.values()) & set(COCO_SYNSETS.values())
    categories = [{"id": 0, "name": "x", "synset": synset} for synset in SYNSETS_OF_JUDGED.values()]
    known = match_synsets([*lvis_categories(list(COCO_CLASSES)), *categories], COCO_CLASSES, "l.json")
    assert 0 not in known


@pytest.mark.skipif(not LVIS.is_file(), reason="needs VCLR_SHARED for annotations")
def test_synsets_of_judged_classes_are_those_of_lvis():
    assert set(SYNSETS_OF_JUDGED.values()) <= {category["synset"] for category in read_json(LVIS)["categories"]}


def test_the_documentation_lists_each_class_of_coco_as_the_split_matches_it():
    """What the table calls known is known to the split, and nothing else is."""
    head, rows = known_classes()
    assert [row[0] for row in rows] == list(COCO_CLASSES) and {len(row) for row in rows} == {len(head)}
    told, novel = set(), set()
    for name, called, kinds, _, alike, _ in rows:
        told |= {name} if called == "the same" else set(called.split(" or "))
        told |= set(kinds.split(", "))
        novel |= set(alike.split(", "))
    found = match_objects365(categories_of(OBJECTS365), COCO_CLASSES, "o.json")
    known = {OBJECTS365[number - 1].strip().casefold() for number in found}
    corrected = {"monitor/tv", "dining table", "billiards"}  # official files misspell them
    assert {name.casefold() for name in told if name} - corrected == known
    assert {*OBJECTS365_NOVEL} <= {row[0] for row in rows} and not {name.casefold() for name in novel} & known
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    assert all(f"| {' | '.join(row)} |" in page for row in (head, *rows))


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda name: f" {name}  "])
def test_capitals_and_spaces_do_not_matter(change):
    expected = match_objects365(categories_of(OBJECTS365), COCO_CLASSES, "o.json")
    assert match_objects365(categories_of(list(map(change, OBJECTS365))), COCO_CLASSES, "o.json") == expected


def test_corrected_spellings_are_the_same_classes():
    corrected = {"Moniter/TV": "Monitor/TV", "Dinning Table": "Dining Table", "Billards": "Billiards"}
    names = [corrected.get(name, name) for name in OBJECTS365]
    expected = match_objects365(categories_of(OBJECTS365), COCO_CLASSES, "o.json")
    assert match_objects365(categories_of(names), COCO_CLASSES, "o.json") == expected


@pytest.mark.parametrize("gone", ["Person", "Luggage", "Other Balls", "Hair Dryer"])
def test_a_missing_class_of_objects365_is_an_error(gone: str):
    names = [f"{name}s" if name == gone else name for name in OBJECTS365]
    with pytest.raises(
        UserError, match=rf"o\.json: has no category for COCO's .*{gone.lower()}.*; nearest: '{gone.lower()}s'"
    ):
        match_objects365(categories_of(names), COCO_CLASSES, "o.json")


def lvis_categories(classes: list[str]) -> list[dict[str, object]]:
    synsets = ["acorn.n.01", *(COCO_SYNSETS[name] for name in classes), "yak.n.02"]
    return [{"id": number, "name": "x", "synset": synset} for number, synset in enumerate(synsets, start=1)]


def test_synsets_of_releases_that_lack_a_class():
    for absent in ([], ["hot dog"], ["hot dog", "oven"]):  # v1 has no hot dog, v0.5 neither
        classes = [name for name in COCO_CLASSES if name not in absent]
        found = match_synsets(lvis_categories(classes), COCO_CLASSES, "l.json")
        assert found == set(range(2, 2 + len(classes)))


def test_a_missing_synset_is_an_error():
    classes = [name for name in COCO_CLASSES if name != "cow"]
    with pytest.raises(UserError, match=r"l\.json: has no category for COCO's 'cow' \(beef\.n\.01\); nearest: '"):
        match_synsets(lvis_categories(classes), COCO_CLASSES, "l.json")
    with pytest.raises(UserError, match=r"l\.json: categories\[0\]: has no `synset`"):
        match_synsets(categories_of(["person"]), COCO_CLASSES, "l.json")
