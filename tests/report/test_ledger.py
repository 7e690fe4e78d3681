"""The ledger sets each published value beside ours, and says where there is nothing to compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.catalog.classes import ALL, CLASS_LISTS
from vclr.catalog.data_sets import PROTOCOLS
from vclr.catalog.metrics import KINDS, MAX_DETS, metric_names
from vclr.catalog.published import METHOD, PUBLISHED_RESULTS, TOLERANCE
from vclr.config import load_config
from vclr.evaluation.evaluated_set import EvaluatedSet
from vclr.report.experiments import Experiment
from vclr.report.ledger import HEAD, NOT_MEASURED, NOT_RUN, make_ledger, markdown, sources

VOC, COCO = "openworld_voc_classes_train2017", "openworld_allcoco_classes_train2017"


def experiment(name: str, trained_on: str, protocol: str, *recalls: float | None) -> Experiment:
    """Return an experiment with this box_ar@100 of each seed."""
    config = load_config(None, [trained_on if "=" in trained_on else f"dataloader.train.dataset.names={trained_on}"])
    test_set = EvaluatedSet("data/splits/x.json", "c0ffee", "images", protocol)
    scores = [{"box_ar@100": recall, "mask_ar@100": None} for recall in recalls]
    return Experiment(name, list(range(len(recalls))), config, test_set, {ALL: scores})


def verdicts(*experiments: Experiment) -> dict[tuple[str, str, str, str], tuple[float | None, str]]:
    """Return ours and the verdict by method, protocol, metric and experiment."""
    return {
        (entry.published.method, entry.published.protocol, entry.metric, entry.experiment): (entry.ours, entry.verdict)
        for entry in make_ledger(experiments)
    }


def test_published_results_name_what_the_catalog_names():
    known = {metric for kind in KINDS for metric in metric_names(kind, MAX_DETS)}
    for one in PUBLISHED_RESULTS:
        assert one.protocol in PROTOCOLS
        assert one.known in CLASS_LISTS
        assert {*one.values} <= known
        assert one.confidence in ("high", "medium")
        assert one.source


def test_without_a_comparable_experiment_nothing_was_run():
    own_photos = experiment("own", "data.train={annotations: a.json, images: b}", "nonvoc", 40.0)
    others = (own_photos, experiment("coco", COCO, "nonvoc", 40.0), experiment("voc", VOC, "lvis", 40.0))
    for experiments in ((), others):
        entries = make_ledger(experiments)
        assert len(entries) == sum(len(one.values) for one in PUBLISHED_RESULTS)
        assert {entry.verdict for entry in entries} == {NOT_RUN}


@pytest.mark.parametrize(
    ("seeds", "verdict"),
    [
        ((40.3 - TOLERANCE,), "within tolerance"),
        ((40.3 + TOLERANCE,), "within tolerance"),
        ((38.0, 41.0), "within tolerance"),
        ((39.2,), "outside tolerance"),
        ((42.0,), "outside tolerance"),
        ((40.3, None), NOT_MEASURED),
    ],
)
def test_the_mean_over_the_seeds_is_compared(seeds: tuple[float | None, ...], verdict: str):
    found = verdicts(experiment("voc", VOC, "nonvoc", *seeds))
    ours, said = found[METHOD, "nonvoc", "box_ar@100", "voc"]
    assert said == verdict
    assert ours == (None if None in seeds else pytest.approx(sum(seeds) / len(seeds)))
    assert found[METHOD, "nonvoc", "mask_ar@100", "voc"] == (None, NOT_MEASURED)
    assert found[METHOD, "lvis", "box_ar@100", ""] == (None, NOT_RUN)


def test_other_methods_are_shown_without_a_tolerance():
    found = verdicts(experiment("voc", VOC, "nonvoc", 40.3))
    assert found["SWORD", "nonvoc", "box_ar@100", "voc"] == (40.3, "another method")


def test_each_experiment_has_an_entry():
    found = verdicts(experiment("one", VOC, "nonvoc", 40.0), experiment("two", f"{VOC}_graph", "nonvoc", 30.0))
    assert found[METHOD, "nonvoc", "box_ar@100", "one"][1] == "within tolerance"
    assert found[METHOD, "nonvoc", "box_ar@100", "two"][1] == "outside tolerance"


def test_page_has_all_values_with_their_sources():
    entries = make_ledger([experiment("voc", VOC, "nonvoc", 39.8)])
    lines = markdown(entries).splitlines()
    assert f"| {' | '.join(HEAD)} |" in lines
    assert "| VOC | Non-VOC | box_ar@100 | v-CLR | 40.3 | voc | 39.8 | -0.5 | within tolerance |" in lines
    assert "| COCO | LVIS non-COCO | box_ar@10 | v-CLR | 20.3 |  |  |  | not run |" in lines
    assert {f"- {line}" for line in sources(entries)} <= {*lines}
    assert any("confidence: medium" in line for line in lines)
    assert "- voc on Non-VOC: annotations sha256 c0ffee" in lines


def test_docs_say_the_same_values():
    text = (Path(__file__).parents[2] / "docs/method.md").read_text(encoding="utf-8")
    for one in PUBLISHED_RESULTS:
        if one.method == METHOD:
            assert f"| {' | '.join(map(str, one.values.values()))} |" in text
