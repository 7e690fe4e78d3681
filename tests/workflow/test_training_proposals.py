"""`training_proposals` reaches the experiments that have a choice, and no others."""

from __future__ import annotations

import pytest

from vclr.config import load_config
from vclr.errors import UsageError
from workflow.training_proposals import check_training_proposals, proposals_overrides

PUBLISHED = "configs/experiment/voc_to_nonvoc.yaml"
NAMES = "dataloader.train.dataset.names="


def of(experiment: str, method: str, *overrides: str) -> list[str]:
    return proposals_overrides(load_config(f"configs/experiment/{experiment}.yaml", list(overrides)), method)


def test_catalogs_sets_have_a_name_for_each_method():
    voc = "openworld_voc_classes_train2017"
    assert of("voc_to_nonvoc", "graph") == [f"{NAMES}{voc}_graph"]
    assert of("voc_to_nonvoc", "published") == of("voc_to_nonvoc", "") == []
    assert of("voc_to_nonvoc", "graph", f"{NAMES}{voc}_graph") == []
    assert of("voc_to_nonvoc", "published", f"{NAMES}{voc}_graph") == [f"{NAMES}{voc}"]
    assert of("coco_to_lvis", "graph") == [f"{NAMES}openworld_allcoco_classes_train2017_graph"]


def test_own_sets_name_the_method_in_a_path():
    assert of("photos", "graph") == ["proposals.method=graph"]
    assert of("photos", "published") == of("demo", "graph") == of("demo_views", "graph") == []


def test_unknown_method_names_the_nearest():
    for known in ("", "published", "graph"):
        check_training_proposals(known)
    with pytest.raises(UsageError, match="training_proposals=publishd: no such proposals; nearest: published"):
        check_training_proposals("publishd")
