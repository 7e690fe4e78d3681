"""Lists of classes by name, and groups of classes that name one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vclr.catalog.classes import CLASS_LISTS, COCO_CLASSES, TOY_KNOWN_CLASSES, TOY_NOVEL_CLASSES, resolve_groups
from vclr.config import Config, flat_config, load_config
from vclr.data.data_sets import evaluated_groups
from vclr.errors import UsageError
from vclr.evaluation.provenance import settings_hash
from vclr.generate.toy import CATEGORIES

ROOT = Path(__file__).parents[2]


def test_voc_and_nonvoc_part_coco():
    voc, nonvoc = set(CLASS_LISTS["voc"]), set(CLASS_LISTS["nonvoc"])
    assert (len(voc), len(nonvoc)) == (20, 60)
    assert not voc & nonvoc and voc | nonvoc == set(COCO_CLASSES) == set(CLASS_LISTS["coco"])


def test_toy_lists_are_the_categories_of_the_toy_scenes():
    assert [category["name"] for category in CATEGORIES] == [*TOY_KNOWN_CLASSES, *TOY_NOVEL_CLASSES]


def load(groups: str) -> Config:
    return load_config(None, ["evaluation.protocol=novel", f"evaluation.groups={groups}"])


def test_a_list_by_name_is_that_list_spelled_out():
    named, spelled = (
        load("{known: voc, novel: [zebra, 1]}"),
        load(f"{{known: {[*CLASS_LISTS['voc']]}, novel: [zebra, 1]}}"),
    )
    assert evaluated_groups(named) == evaluated_groups(spelled)
    assert evaluated_groups(named) == {"known": list(CLASS_LISTS["voc"]), "novel": ["zebra", "1"]}
    assert settings_hash(named) == settings_hash(spelled)


def test_a_list_replaces_a_named_list_and_the_other_way_round():
    path = ROOT / "configs/experiment/photos.yaml"
    groups = evaluated_groups(load_config(path))
    assert groups == {"known": [*CLASS_LISTS["voc"]], "novel": [*CLASS_LISTS["nonvoc"]]}
    changed = load_config(path, ["evaluation.groups.novel=[zebra]", "evaluation.groups.known=coco"])
    assert evaluated_groups(changed) == {"known": [*COCO_CLASSES], "novel": ["zebra"]}
    assert flat_config(changed)["evaluation.groups.known"] == "coco"


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("{novel: nonvok}", "evaluation.groups.novel=nonvok: unknown list of classes; nearest: nonvoc"),
        ("{novel: ring}", r"evaluation.groups.novel=ring: .*; for one class write \[ring\]"),
        ("{novel: 5}", "evaluation.groups.novel: must be a list of class names, or one of voc, nonvoc, coco"),
        ("{novel: [[ring]]}", "evaluation.groups.novel: must be a list"),
        ("{novel: [null]}", "evaluation.groups.novel: must be a list"),
        ("{novel: {ring: [ring]}}", "evaluation.groups.novel: must be a list"),
    ],
)
def test_a_wrong_group_is_found_at_load_time(groups: str, message: str):
    with pytest.raises(UsageError, match=message):
        load(groups)


@pytest.mark.parametrize("classes", [None, {}, [None], 1.5])
def test_groups_are_lists_or_names(classes: Any):
    with pytest.raises(UsageError, match="evaluation.groups.a: must be"):
        resolve_groups({"a": classes})
