"""The report's sentences: true to the figures beside them, silent about causes that the trainings do not isolate."""

from dataclasses import replace
from functools import cache

import pytest

from tests.report.report_world import DEPTH, NATURAL, WITHOUT
from vclr.config import load_config
from vclr.evaluation.evaluated_set import EvaluatedSet
from vclr.report.comparison import compare, shown_difference
from vclr.report.experiments import Experiment
from vclr.report.findings import findings
from vclr.report.results_table import results_table
from vclr.report.study import summarize_study

SETTINGS = {"baseline": (NATURAL, WITHOUT), "views": (DEPTH, WITHOUT), "full": (DEPTH,)}
FOLDERS = tuple(f"data.train.views.{view}={view}" for view in ("depth", "style"))
DATA = ("data.train.annotations=train.json", "data.train.images=photos", *FOLDERS)


@cache
def config_of(*overrides):
    return load_config(None, [*DATA, *overrides])


def experiment(name, novel, known=(50.0,), more=(), **fields):
    groups = {
        group: [{"mask_ar@100": value, "box_ar@100": value} for value in values]
        for group, values in (("known", known), ("novel", novel))
    }
    config = config_of(*SETTINGS[name.split("_")[0]], *more)
    return Experiment(name, list(range(len(novel))), config, EvaluatedSet("a.json", "0", "photos"), groups, **fields)


def comparison_sentences(experiments):
    return [sentence for sentence in findings(experiments) if " gap of " not in sentence]


def test_a_difference_is_that_of_the_figures_beside_it():
    baseline, views = experiment("baseline", [29.949]), experiment("views", [30.151])
    first, second, effect = findings([baseline, views])
    assert "29.9 % on novel" in first
    assert "30.2 % on novel" in second
    assert "by 0.3 points" in effect
    assert "| views - baseline | `mask_ar@100` | +0.3 |" in summarize_study([baseline, views])


@pytest.mark.parametrize(
    ("known", "novel", "gap"), [(50.06, 20.04, "30.1"), (49.96, 20.05, "29.9"), (20.0, 20.04, "0.0")]
)
def test_a_gap_is_that_of_the_figures_beside_it(known, novel, gap):
    one = experiment("full", [novel], [known])
    assert f"a gap of {gap} points" in findings([one])[0]
    assert results_table([one], {"full": [[]]})["rows"][0]["cells"][-1][0] == gap


def test_differences_below_the_digit_shown_are_none():
    assert shown_difference([30.04], [30.0]) == 0
    assert str(shown_difference([30.0], [30.04])) == "0.0"
    (effect,) = comparison_sentences([experiment("baseline", [30.0]), experiment("views", [30.04])])
    assert effect == "Training on several views, without consistency, changed nothing on novel objects (one seed)."


CONFOUNDED = [
    (("train.max_iter=70000",), "train.max_iter"),
    (("optimizer.lr=0.001", "train.clip_grad.enabled=False"), "optimizer.lr, train.clip_grad.enabled"),
    (("data.train.annotations=others.json",), "data.train.annotations"),
    (("data.train.proposals=p.json",), "data.train.proposals"),
    (("views.weights={natural: 2, depth: 1}",), "views.weights.natural, views.weights.depth"),
    (("data.train.views.depth=elsewhere",), "data.train.views.depth"),
    (("dataloader.test.mapper.short_edge_length=640",), "dataloader.test.mapper.short_edge_length"),
    (("evaluation.dtype=bfloat16",), "evaluation.dtype"),
    (("train.model_ema.use_ema_weights_for_eval_only=True",), "train.model_ema.use_ema_weights_for_eval_only"),
]


@pytest.mark.parametrize(("more", "named"), CONFOUNDED)
def test_what_made_the_difference_is_not_said_if_something_else_differs(more, named):
    (sentence,) = comparison_sentences([experiment("views", [30.0]), experiment("full", [33.0], more=more)])
    assert sentence == (
        "Recall of full on novel objects is 3.0 points higher than that of views (one seed). The two trainings also "
        f"differ in {named}, so this does not tell what made the difference."
    )
    study = summarize_study([experiment("views", [30.0]), experiment("full", [33.0], more=more)])
    assert "v-CLR - views: the trainings also differ in `" in study


@pytest.mark.parametrize(
    "more",
    [
        ("train.output_dir=elsewhere", "train.seed=7", "tracking.enabled=False", "train.num_threads=1"),
        ("dataloader.train.num_workers=0", "train.checkpointer.period=7", "train.micro_batch_size=1"),
        ("views.weights={natural: 2, depth: 2}",),
        ("data.train.views.style=of_no_use",),
        ("train.model_ema.decay=0.9",),
        ("launcher.nodes=2", "dataloader.test.batch_size=3", "evaluation.protocol=''", "data.test.images=x"),
    ],
)
def test_settings_without_effect_do_not_matter(more):
    (sentence,) = comparison_sentences([experiment("views", [30.0]), experiment("full", [33.0], more=more)])
    assert sentence.startswith("Adding consistency with the teacher to the views raised recall on novel objects by 3.0")


def test_bytes_of_the_training_data_matter():
    views = experiment("views", [30.0], data_hashes={"annotations": "a", "view depth": "b"})
    full = experiment("full", [33.0], data_hashes={"annotations": "c", "view depth": "d"})
    assert compare([views, full])["v-CLR - views"].further == ["content of the annotations"]


def test_the_closest_pair_is_compared():
    short, views = experiment("views_short", [10.0], more=("train.max_iter=5",)), experiment("views", [30.0])
    full = experiment("full", [33.0])
    comparison = compare([short, views, full])["v-CLR - views"]
    assert (comparison.second.name, comparison.further) == ("views", [])


def test_many_differences_are_counted():
    more = [f"model.criterion.weight_dict.loss_{name}=3.5" for name in ("class", "bbox", "giou", "mask", "dice")]
    (sentence,) = comparison_sentences([experiment("views", [30.0]), experiment("full", [33.0], more=tuple(more))])
    assert "loss_giou and 2 more settings, so" in sentence


def test_one_seed_gives_no_word_of_significance():
    text = " ".join(findings([experiment("baseline", [10.0]), experiment("views", [30.0]), experiment("full", [31.0])]))
    for word in ("interval", "test p", "significant", "evidence of"):
        assert word not in text


def proposals(known, novel):
    return {"known": {"mask_ar@100": known}, "novel": {"mask_ar@100": novel}}


def test_proposals_that_beat_every_detector_are_named():
    one, other = experiment("baseline", [29.0]), experiment("full", [30.2])
    *_, sentence = findings([one, replace(other, proposals=proposals(57.9, 48.1))])
    assert "57.9 % of the known objects (the best detector 50.0 %) and 48.1 % of the novel objects" in sentence
    assert "(the best detector 30.2 %)" in sentence
    assert "One reason may be" in sentence
    *_, sentence = findings([one, replace(other, proposals=proposals(49.0, 48.1))])
    assert "known objects (" not in sentence
    assert "48.1 % of the novel objects" in sentence
    for known, novel in ((50.0, 30.2), (50.04, 30.24), (10.0, 10.0), (None, None)):
        assert "proposals" not in " ".join(findings([one, replace(other, proposals=proposals(known, novel))]))


def test_points_above_untrained_are_those_of_the_same_model():
    full = experiment("full", [30.2], untrained=proposals(1.0, 0.0))
    views = experiment("views", [20.0])
    other = experiment("views_other", [25.0], more=("model.num_queries=100",))
    table = results_table([full, views, other], {name: [[]] for name in ("full", "views", "views_other")})
    assert [row["above"] for row in table["rows"]] == ["+30.2", "+20.0", "–"]
