"""Paired tests against scipy and counting, and the study from files."""

import json
from functools import cache

import numpy as np
import pytest
from scipy import stats

from vclr.config import dump_config, load_config
from vclr.errors import UserError
from vclr.report.findings import evidence
from vclr.report.paired_test import paired_test
from vclr.report.read_experiments import read_experiments
from vclr.report.study import summarize_study, write_study

ENVIRONMENT = {"git_revision": "abc123", "git_dirty": True, "torch": "2.13.0", "cpu": "Z80", "cpu_cores": 2, "gpus": []}
VIEWS = ["views.weights.natural=1", "views.weights.depth=1", "views.weights.style=1"]
NATURAL = ["views.weights.natural=1", "views.weights.depth=0", "views.weights.style=0"]
WITHOUT = ["model.criterion.weight_dict.loss_consistency=0"]
SETTINGS = {"baseline": NATURAL + WITHOUT, "views": VIEWS + WITHOUT, "full": VIEWS}
RECALL = {"baseline": (63, 19), "views": (50, 33), "full": (48, 36)}


@cache
def settings_of(name):
    """Return the resolved configuration of an experiment as YAML, for any seed."""
    return dump_config(load_config(None, SETTINGS[name]))


def metrics(known, novel, **more):
    def group(value):
        return {"mask_ar@100": value, "mask_ar@10": value / 2, "box_ar@100": value + 1, "mask_ap_large": None}

    return {**group(novel), "groups": {"known": group(known), "novel": group(novel)}, "num_images": 9, **more}


@pytest.fixture
def folders(tmp_path):
    """Runs and results of three experiments and three seeds; the seed moves all of them up and down together."""
    for name in SETTINGS:
        for seed, shift in ((0, 0.0), (1, 2.0), (2, -1.5)):
            run, result = (tmp_path / kind / name / f"seed{seed}" for kind in ("runs", "results"))
            run.mkdir(parents=True)
            result.mkdir(parents=True)
            text = settings_of(name).replace("  seed: 0", f"  seed: {seed}").replace("runs/default", str(run))
            (run / "config.yaml").write_text(text)
            (run / "environment.json").write_text(json.dumps(ENVIRONMENT))
            known, novel = RECALL[name]
            wobble = seed / 10 if name == "full" else 0.0
            (result / "metrics.json").write_text(json.dumps(metrics(known + shift, novel + shift + wobble)))
    return tmp_path


def test_paired_t_agrees_with_scipy():
    a, b = np.random.default_rng(0).normal((3, 2), 1, (8, 2)).T.tolist()
    result = paired_test(a, b)
    reference = stats.ttest_rel(a, b)
    interval = reference.confidence_interval(0.95)
    assert result.p_t == pytest.approx(reference.pvalue)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.standard_deviation == pytest.approx(np.std(np.subtract(a, b), ddof=1))


def test_sign_flips_agree_with_scipys_exact_test():
    a, b = np.random.default_rng(1).normal((1, 0), 1, (7, 2)).T.tolist()
    reference = stats.permutation_test((a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples")
    assert paired_test(a, b).p_permutation == pytest.approx(reference.pvalue)


def test_sign_flips_by_counting():
    # of the 8 patterns of signs of (1, 2, 3) only +++ and --- reach a sum of 6, four more one of at least 2 ...
    assert paired_test([1, 2, 3], [0, 0, 0]).p_permutation == 2 / 8
    assert paired_test([-1, 2, 3], [0, 0, 0]).p_permutation == 4 / 8
    assert paired_test([5] * 5, [0.1, 0.3, 0.2, 0.4, 0.0]).p_permutation == 2 / 32


def test_swapping_the_sides_changes_only_the_sign():
    a, b = [3.0, 4.0, 2.5, 7.0], [1.0, 4.5, 2.0, 3.0]
    forth, back = paired_test(a, b), paired_test(b, a)
    assert forth.mean_difference == -back.mean_difference
    assert (forth.low, forth.p_t, forth.p_permutation) == pytest.approx((-back.high, back.p_t, back.p_permutation))


def test_edges_of_the_paired_test():
    single = paired_test([3.0], [1.0])
    assert (single.mean_difference, single.p_t, single.low) == (2, None, None)
    equal = paired_test([1.0, 2.0], [1.0, 2.0])
    assert (equal.p_t, equal.p_permutation, equal.low, equal.high) == (1, 1, 0, 0)
    assert paired_test([2.0, 3.0], [1.0, 2.0]).p_t == 0
    assert paired_test([1.0] * 12, [0.5] * 11 + [0.0]).p_permutation == 2 / 2**12
    assert paired_test([1.0] * 13, [0.5] * 12 + [0.0]).p_permutation is None
    assert "= 0.00049." in evidence(12)
    assert evidence(13).endswith("would take too long for more than 12 seeds.")
    for a, b in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="pairs"):
            paired_test(a, b)


def test_the_study_writes_means_and_paired_tests(folders):
    pairs = [("views", "baseline"), ("full", "views"), ("full", "baseline")]
    write_study(list(SETTINGS), [0, 1, 2], folders / "runs", folders / "results", folders / "out", pairs)
    study = json.loads((folders / "out" / "study.json").read_text())
    novel = study["experiments"]["views"]["groups"]["novel"]
    assert novel["mask_ar@100"]["values"] == [33, 35, 31.5]
    assert novel["mask_ar@100"]["mean"] == pytest.approx(33 + 0.5 / 3)
    assert novel["mask_ap_large"] == {"values": [], "mean": None, "standard_deviation": None, "over_images": None}
    gain = study["comparison"]["full - views"]["mask_ar@100"]
    assert gain["mean_difference"] == pytest.approx(3.1)
    assert gain["standard_deviation"] == pytest.approx(0.1)  # the seeds' common shift is gone
    assert gain["p_permutation"] == 0.25
    assert set(study["comparison"]) == {"views - baseline", "full - views", "full - baseline"}
    consistency = "model.criterion.weight_dict.loss_consistency"
    assert study["differences"]["full - views"] == {consistency: [1.0, 0.0]}
    assert study["differences"]["full - baseline"].keys() == {consistency, "views.weights"}
    assert study["further_differences"] == {
        "views - baseline": [],
        "full - views": [],
        "full - baseline": list(study["differences"]["full - baseline"]),
    }
    assert "train.output_dir" not in study["configuration"]
    assert study["configuration"]["model.criterion.weight_dict.loss_consistency"] == [0, 0, 1]

    text = (folders / "out" / "study.md").read_text()
    assert "| baseline | 63.2 ± 1.8 | 64.2 ± 1.8 | 19.2 ± 1.8 | 20.2 ± 1.8 | 44.0 ± 0.0 |" in text
    assert "| full - views | `mask_ar@100` | +3.1 | +2.9 to +3.3 | < 0.001 | 0.25 |" in text
    assert "cannot give less than p = 0.25" in text
    assert text.endswith(
        "Code and machine: revision abc123 with local changes; versions torch 2.13.0; machine Z80, 2 cores.\n"
    )


def test_one_seed_and_one_experiment_are_a_study_too(folders):
    read = read_experiments(["full"], [1], folders / "runs", folders / "results")
    text = summarize_study(read)
    assert "| full | 50.0 | 51.0 | 38.1 | 39.1 | 11.9 |" in text
    assert "paired" not in text


def test_without_groups_the_headline_metrics_stand_alone(folders):
    path = folders / "results" / "full" / "seed0" / "metrics.json"
    path.write_text(json.dumps({"box_ar@100": 12.5, "mask_ar@100": None, "num_images": 3}))
    (experiment,) = read_experiments(["full"], [0], folders / "runs", folders / "results")
    assert experiment.groups == {"all": [{"box_ar@100": 12.5, "mask_ar@100": None}]}
    assert "| full | 12.5 |" in summarize_study([experiment])


@pytest.mark.parametrize("missing", ["runs/views/seed2/config.yaml", "results/views/seed1/metrics.json"])
def test_a_missing_file_is_named_and_nothing_is_written(folders, missing):
    (folders / missing).unlink()
    with pytest.raises(UserError, match=missing):
        write_study(list(SETTINGS), [0, 1, 2], folders / "runs", folders / "results", folders / "out")
    assert not (folders / "out").exists()


def test_damaged_metrics_are_named(folders):
    path = folders / "results" / "full" / "seed0" / "metrics.json"
    for content in ("[1, 2]", '{"groups": [1]}'):
        path.write_text(content)
        with pytest.raises(UserError, match="full/seed0/metrics.json: is not a file of metrics"):
            read_experiments(["full"], [0], folders / "runs", folders / "results")
