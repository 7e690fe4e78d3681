"""The report's sentences: true to the figures beside them, silent about causes that the trainings do not isolate."""

from dataclasses import replace
from functools import cache

import pytest

from tests.report.report_world import DEPTH, NATURAL, WITHOUT
from vclr.config import load_config
from vclr.errors import UsageError
from vclr.evaluation.evaluated_set import EvaluatedSet
from vclr.report.comparison import check_pairs, compare, shown_difference, warn_of_apart
from vclr.report.differences import differing_settings
from vclr.report.experiments import Experiment
from vclr.report.findings import findings
from vclr.report.results_table import results_table
from vclr.report.study import summarize_study

SETTINGS = {"baseline": (NATURAL, WITHOUT), "views": (DEPTH, WITHOUT), "full": (DEPTH,)}
CONSISTENCY = "model.criterion.weight_dict.loss_consistency"
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


def comparison_sentences(experiments, pairs=()):
    return [sentence for sentence in findings(experiments, pairs) if " gap of " not in sentence]


def test_a_difference_is_that_of_the_figures_beside_it():
    baseline, views = experiment("baseline", [29.949]), experiment("views", [30.151])
    first, second, effect = findings([baseline, views])
    assert "29.9 % on novel" in first
    assert "30.2 % on novel" in second
    assert "0.3 points higher" in effect
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
    assert effect == (
        "Recall of views on novel objects is the same as that of baseline (one seed). "
        "The two trainings differ only in views.weights (natural, depth instead of natural)."
    )


CONFOUNDED = [
    (("train.max_iter=70000",), "train.max_iter, optimizer.milestones"),
    (("optimizer.lr=0.001", "train.clip_grad.enabled=False"), "optimizer.lr, train.clip_grad.enabled"),
    (("data.train.annotations=others.json",), "data.train.annotations"),
    (("data.train.proposals=p.json",), "data.train.proposals"),
    (("views.weights={natural: 2, depth: 1}",), "views.weights"),
    (("data.train.views.depth=elsewhere",), "data.train.views.depth"),
    (("dataloader.test.mapper.short_edge_length=640",), "dataloader.test.mapper.short_edge_length"),
    (("evaluation.dtype=bfloat16",), "evaluation.dtype"),
    (("train.model_ema.use_ema_weights_for_eval_only=True",), "evaluated weights"),
]


@pytest.mark.parametrize(("more", "named"), CONFOUNDED)
def test_what_made_the_difference_is_not_said_if_something_else_differs(more, named):
    pair = [experiment("views", [30.0]), experiment("full", [33.0], more=more)]
    (sentence,) = comparison_sentences(pair)
    begin = "Recall of full on novel objects is 3.0 points higher than that of views (one seed). "
    begin += "The two trainings differ in "
    assert sentence.startswith(begin)
    assert sentence.endswith(", so this does not tell which of these made the difference.")
    assert set(sentence[len(begin) :].partition(", so")[0].replace(" and ", ", ").split(", ")) == {
        CONSISTENCY,
        *named.split(", "),
    }
    assert "full - views: The two trainings differ in `" in summarize_study(pair)
    assert set(compare(pair)["full - views"].further) == {CONSISTENCY, *named.split(", ")}


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
    pair = [experiment("views", [30.0]), experiment("full", [33.0], more=more)]
    (sentence,) = comparison_sentences(pair)
    assert sentence.startswith("Recall of full on novel objects is 3.0 points higher than that of views (one seed). ")
    assert sentence.endswith(f"The two trainings differ only in {CONSISTENCY} (1.0 instead of 0.0).")
    assert compare(pair)["full - views"].further == []


def test_bytes_of_the_training_data_matter():
    views = experiment("views", [30.0], data_hashes={"annotations": "a", "view depth": "b"})
    full = experiment("full", [33.0], data_hashes={"annotations": "c", "view depth": "d"})
    assert compare([views, full])["full - views"].differences == {
        CONSISTENCY: [1.0, 0.0],
        "content of the annotations": ["c", "a"],
        "content of the view depth": ["d", "b"],
    }


def test_a_teacher_that_only_one_training_uses_is_no_difference_of_its_own():
    views, full = experiment("views", [30.0]), experiment("full", [33.0], more=("train.model_ema.decay=0.9",))
    assert list(differing_settings(views, full)) == [CONSISTENCY]
    assert differing_settings(experiment("full", [33.0]), full) == {"train.model_ema.decay": [0.999, 0.9]}


def test_two_trainings_that_differ_in_nothing():
    one, other = experiment("full", [30.0]), experiment("full_again", [31.0])
    (sentence,) = comparison_sentences([one, other])
    assert sentence.endswith("The two trainings differ in no setting that can change results.")


def test_every_pair_that_is_asked_for_is_compared():
    """Two experiments of one kind too: nothing is chosen by what an experiment looks like."""
    short = experiment("views_short", [10.0], more=("train.max_iter=5", "optimizer.milestones=[]"))
    views = experiment("views", [30.0], more=("optimizer.milestones=[]",))
    full, other = experiment("full", [33.0]), experiment("full_other", [36.0], more=("views.seed=1",))
    pairs = [("views", "views_short"), ("full_other", "full"), ("full", "elsewhere")]
    comparisons = compare([short, views, full, other], pairs)
    assert list(comparisons) == ["views - views_short", "full_other - full"]
    assert comparisons["full_other - full"].results["mask_ar@100"].mean_difference == 3.0
    assert list(comparisons["views - views_short"].differences) == ["train.max_iter"]
    first, second = comparison_sentences([short, views, full, other], pairs)
    assert first.startswith("Recall of views on novel objects is 20.0 points higher than that of views_short")
    assert second.startswith("Recall of full_other on novel objects is 3.0 points higher than that of full")


def test_without_pairs_all_are_compared_with_the_first():
    three = [experiment("views", [30.0]), experiment("full", [33.0]), experiment("baseline", [10.0])]
    assert list(compare(three)) == ["full - views", "baseline - views"]
    assert compare(three[:1]) == {}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("ful", "views"), "pair ful:views: ful is not among the experiments; nearest: full"),
        (("full", "view"), "pair full:view: view is not among the experiments; nearest: views"),
        (("full", "full"), "pair full:full: names one experiment twice; name two experiments"),
        (("views", "full"), "pair views:full: is named twice; name it once, in one order"),
        (("full", "views"), "pair full:views: is named twice; name it once, in one order"),
    ],
)
def test_a_pair_that_cannot_be_compared_is_refused(pair, message):
    with pytest.raises(UsageError, match=f"^{message}$"):
        check_pairs([("views", "full"), pair], ["views", "full"])


def test_a_pair_on_different_test_sets_is_warned_of(caplog):
    sets = {"here": [experiment("views", [1.0])], "there": [experiment("views", [1.0]), experiment("full", [1.0])]}
    warn_of_apart([("full", "views")], sets)
    assert not caplog.records
    warn_of_apart([("full", "views")], {"here": sets["here"]})
    assert "pair full:views: is not compared; the two were evaluated on different test sets" in caplog.text


def test_many_differences_are_counted():
    more = [f"model.criterion.weight_dict.loss_{name}=3.5" for name in ("class", "bbox", "giou", "mask", "dice")]
    (sentence,) = comparison_sentences([experiment("views", [30.0]), experiment("full", [33.0], more=tuple(more))])
    assert "loss_bbox, model.criterion.weight_dict.loss_giou and 3 more settings, so" in sentence


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
