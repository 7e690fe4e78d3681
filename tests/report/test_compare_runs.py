"""`vclr compare`, and the intervals over images in the report and the study."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.report.report_world import provenance_of, write_other_data, write_result, write_world
from vclr.cli import app
from vclr.errors import UsageError, UserError
from vclr.evaluation.intervals import interval, read_draws
from vclr.files import read_json, write_json
from vclr.report.compare_runs import differences_to_first, read_runs
from vclr.report.page import write_report
from vclr.report.read_experiments import read_experiments
from vclr.report.study import write_study


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("compared")
    coco = write_world(root, seeds=(0, 1), intervals=True)
    write_result(root / "results" / "full" / "untrained", coco, (1, 1), intervals=True)
    for path in root.glob("results/*/*/metrics.json"):
        said = provenance_of(root / "val.json", root / "images")
        is_trained = path.parent.name != "untrained"
        run = f"runs/{path.parent.parent.name}/{path.parent.name}"
        said["checkpoint"] = said["checkpoint"] | {"path": f"{run}/checkpoints/last.pt"} if is_trained else None
        write_json(path, read_json(path) | {"provenance": said})
    return root


@pytest.fixture
def world(template, tmp_path, monkeypatch):
    """Runs and results in the working directory."""
    for folder in ("runs", "results"):
        shutil.copytree(template / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compared(folders):
    return read_runs([*map(str, folders)], "")[0]


def run(*words):
    return CliRunner().invoke(app, ["compare", *map(str, words)], catch_exceptions=False)


def test_the_difference_is_paired_by_image(world):
    (runs,) = compared([world / "results" / name / "seed0" for name in ("baseline", "views")]).values()
    baseline, views = runs
    found = differences_to_first(runs)[views.name]["novel"]["mask_ar@100"]
    draws = [read_draws(world / "results" / name / "seed0/bootstrap.npz")["novel"] for name in ("baseline", "views")]
    assert found.value == pytest.approx(views.mean("novel", "mask_ar@100") - baseline.mean("novel", "mask_ar@100"))
    assert found.interval == interval(draws[1]["mask_ar@100"] - draws[0]["mask_ar@100"])
    assert found.interval[0] <= found.value <= found.interval[1]
    same = differences_to_first(runs)[views.name]["known"]["mask_ar@100"]
    assert (same.value, same.interval) == (0, (0, 0)), "both find the same known objects, whichever images are drawn"
    low, high = interval(draws[0]["mask_ar@100"])
    assert low < baseline.mean("novel", "mask_ar@100") < high


def test_groups_of_one_test_set_as_protocols_are_one_run(world):
    for name in ("known", "novel"):
        shutil.copytree(world / "results/views/seed0", world / "both" / name)
    (runs,) = compared([world / "both", world / "results/baseline/seed0"]).values()
    assert [one.name for one in runs] == [str(world / "both"), str(world / "results/baseline/seed0")]


def test_the_verb_shows_results_differences_and_settings(world):
    done = run("results/baseline/seed0", "runs/full/seed0", "results/full/untrained")
    assert done.exit_code == 0
    rows = [line for line in done.output.splitlines() if line.startswith("| runs/full/seed0 ")]
    assert len(rows) == 3, "results, and the differences of two groups"
    assert all(re.search(r" [−+-]?\d+\.\d \[[+-]?\d+\.\d, [+-]?\d+\.\d\] ", row) for row in rows)
    assert "results/full/untrained: The settings are not known." in done.output
    content = json.loads(run("results/baseline/seed0", "runs/full/seed0", "--json").output)
    (compared,) = content["test_sets"].values()
    assert compared["first"] == "results/baseline/seed0"
    difference = compared["differences"]["runs/full/seed0"]["novel"]["mask_ar@100"]
    values = [compared["runs"][name]["novel"]["mask_ar@100"]["value"] for name in compared["runs"]]
    assert difference["value"] == pytest.approx(values[1] - values[0])
    assert difference["interval"][0] < difference["value"] < difference["interval"][1]


def test_a_run_folder_is_found_by_the_checkpoint_that_was_evaluated(world):
    said = run("results/baseline/seed0", "results/full/seed0").output
    assert "differ in model.criterion.weight_dict.loss_consistency and views.weights" in said


def test_runs_on_other_test_sets_are_not_compared(world, template):
    coco = write_other_data(template)
    elsewhere = provenance_of(template / "other/val.json", template / "other/images")
    write_result(world / "results/elsewhere", coco, (3, 3), provenance=elsewhere, intervals=True)
    done = run("results/baseline/seed0", "results/elsewhere", "results/full/seed0")
    assert "The runs have several test sets; runs are compared only on the same one." in done.output
    assert "No other run has this test set." in done.output
    assert "| results/elsewhere | novel" not in done.output
    assert "| results/full/seed0 | novel" in done.output


def test_bad_runs_are_one_line(world):
    first = "results/full/seed0"
    (world / "empty").mkdir()
    for words, says in (
        ([first], "at least two runs"),
        ([first, "results/full/../full/seed0"], "is named twice"),
        ([first, "empty"], "no metrics.json in empty; name a folder that `vclr evaluate` wrote"),
        ([first, "results/nowhere"], "no metrics.json in results/nowhere"),
        ([first, "results/full"], "results/full/seed0 is named twice"),
        ([first, "results"], "`vclr evaluate` wrote"),
        ([], "at least two runs"),
    ):
        with pytest.raises(UsageError, match=re.escape(says)):
            run(*words)


def test_a_store_that_is_not_there_is_named(world):
    with pytest.raises(UserError, match=r"mlflow.db: no such database; name the store with --uri"):
        run("results/full/seed0", "experiments:/demo")


def test_evaluations_of_other_numbers_of_images_are_not_paired(world):
    path = world / "results/full/seed0/metrics.json"
    write_json(path, read_json(path) | {"num_images": 5})
    (runs,) = compared([world / "results/baseline/seed0", path.parent]).values()
    found = differences_to_first(runs)[runs[1].name]["novel"]["mask_ar@100"]
    assert (found.value > 0, found.interval) == (True, None)
    with pytest.raises(UserError, match=r"seed1/metrics.json: is of another number of images than \S*seed0"):
        read_experiments(["full"], [0, 1], world / "runs", world / "results")


def test_only_the_folder_of_the_runs_is_replaced(world, monkeypatch):
    (world / "runs/deeper").mkdir()
    for folder in ("runs", "results"):
        shutil.move(world / folder / "full", world / "runs/deeper" / folder / "full")
    assert compared([world / "results/baseline/seed0", world / "runs/deeper/runs/full/seed0"])


def test_draws_of_another_evaluation_are_refused(world):
    folder = world / "results/full/seed0"
    shutil.copy(world / "results/baseline/seed0/bootstrap.npz", folder)
    with pytest.raises(UserError, match=r"bootstrap.npz: is not of the same evaluation as .*; evaluate again"):
        run("results/baseline/seed0", folder)
    (folder / "bootstrap.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"bootstrap.npz: is not a file of bootstrap draws; evaluate again"):
        run("results/baseline/seed0", folder)
    (folder / "bootstrap.npz").unlink()
    with pytest.raises(UserError, match=r"bootstrap.npz: does not exist; evaluate again"):
        run("results/baseline/seed0", folder)


def test_the_study_has_spread_and_intervals_over_images(world):
    write_study(["baseline", "views"], [0, 1], world / "runs", world / "results", world / "out")
    text = (world / "out/study.md").read_text()
    assert re.search(r"\| views \| \d+\.\d ± \d+\.\d \[\d+\.\d, \d+\.\d\] \|", text)
    assert "drawn again (bootstrap)" in text
    assert "| 95 % over images |" in text
    study = read_json(world / "out/study.json")
    draws = [read_draws(world / f"results/views/seed{seed}/bootstrap.npz")["novel"]["mask_ar@100"] for seed in (0, 1)]
    found = study["experiments"]["views"]["groups"]["novel"]["mask_ar@100"]["over_images"]
    assert found == pytest.approx(interval(np.mean(draws, axis=0)))
    low, high = study["comparison"]["views - baseline"]["mask_ar@100"]["over_images"]
    assert low < study["comparison"]["views - baseline"]["mask_ar@100"]["mean_difference"] < high


def test_the_report_has_intervals_over_images(world):
    said = write_report(["baseline", "full"], [0], world / "runs", world / "results", world / "out", "Title")
    assert "(one seed; 95 % interval over images [" in said
    page = (world / "out/report.html").read_text()
    assert "the 95 % interval if the images of the test set are drawn again" in page
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    assert len(re.findall(r"<small>\[−?-?\d+\.\d, \d+\.\d\]</small>", table)) >= 3 * 6, "trained and untrained"


def test_results_of_earlier_versions_have_no_intervals(world):
    for path in world.glob("results/full/*/metrics.json"):
        content = read_json(path)
        for metrics in (content, *content["groups"].values()):
            metrics.pop("intervals", None)
        write_json(path, content)
    (experiment,) = read_experiments(["full"], [0], world / "runs", world / "results")
    assert experiment.drawn("novel", "mask_ar@100") is None
    done = run("results/baseline/seed0", "results/full/seed0")
    assert "[" not in next(line for line in done.output.splitlines() if line.startswith("| results/full/seed0"))
    write_json(path, {key: value for key, value in content.items() if key != "provenance"})
    with pytest.raises(UserError, match=r"metrics.json: does not say what was evaluated; evaluate again, or"):
        run("results/baseline/seed0", path.parent)


def test_a_run_with_few_predictions_per_image_has_no_recall_at_more(world):
    path = world / "results/full/seed0/metrics.json"
    content = read_json(path)
    for metrics in (content, *content["groups"].values()):
        metrics["max_predictions"] = 10
    write_json(path, content)
    said = run("results/baseline/seed0", "results/full/seed0").output
    assert "results/full/seed0: at most 10 predictions per image, so recall at 100 is left out." in said
    rows = [line for line in said.splitlines() if line.startswith("| results/full/seed0 |")]
    assert len(rows) == 3 and rows[0].count(" – ") == 4
    assert all(row.count(" – ") == 2 and row.count("] ") == 2 for row in rows[1:]), "recall at 10 is shown"
    assert json.loads(run("results/baseline/seed0", "results/full/seed0", "--json").output)["test_sets"].popitem()[1][
        "differences"
    ]["results/full/seed0"]["novel"]["mask_ar@100"]["value"]


def test_the_seeds_of_several_experiments_are_compared_as_means_and_paired(world):
    done = run("runs/baseline", "results/full/seed0", "results/full/seed1", "--json")
    (compared,) = json.loads(done.output)["test_sets"].values()
    assert compared["seeds"] == {"runs/baseline": [0, 1], "results/full": [0, 1]}
    values = [compared["runs"][name]["novel"]["mask_ar@100"] for name in ("runs/baseline", "results/full")]
    assert all(one["value"] == pytest.approx(np.mean(one["values"])) for one in values)
    difference = compared["differences"]["results/full"]["novel"]["mask_ar@100"]
    pairs = [b - a for a, b in zip(*(one["values"] for one in values), strict=True)]
    assert difference["value"] == pytest.approx(difference["over_seeds"]["mean_difference"])
    assert difference["over_seeds"]["mean_difference"] == pytest.approx(np.mean(pairs))
    assert difference["interval"][0] < difference["value"] < difference["interval"][1]
    text = run("runs/baseline", "runs/full").output
    assert re.search(r"\| runs/full \| \d+\.\d ± \d+\.\d \[\d+\.\d, \d+\.\d\]", text)
    assert "Minus runs/baseline on the group `novel`, paired by seed:" in text
    assert re.search(r"\| runs/full \| `mask_ar@100` \| 2 \| \+\d+\.\d \|", text)


def test_only_shared_seeds_are_paired(world):
    (compared,) = json.loads(run("results/baseline/seed1", "results/full", "--json").output)["test_sets"].values()
    assert compared["seeds"] == {"results/baseline/seed1": [1], "results/full": [0, 1]}
    assert compared["differences"]["results/full"]["novel"]["mask_ar@100"]["over_seeds"] is None


def test_the_seeds_of_one_experiment_alone_are_compared_with_each_other(world):
    (compared,) = json.loads(run("results/full", "--json").output)["test_sets"].values()
    assert list(compared["runs"]) == ["results/full/seed0", "results/full/seed1"]


def test_data_and_code_that_differ_are_named(world):
    for name, digest, revision, change in (
        ("baseline", "aa" * 32, "1" * 40, "+old"),
        ("full", "bb" * 32, "2" * 40, "+new"),
    ):
        folder = world / "runs" / name / "seed0"
        write_json(folder / "data.json", {"train_annotations": digest, "train_images": "cc" * 32})
        write_json(folder / "environment.json", {"git_revision": revision, "git_dirty": True})
        (folder / "tracking").mkdir()
        (folder / "tracking/code.diff").write_text(f"--- a/x.py\n+++ b/x.py\n{change}\n")
    done = run("runs/baseline/seed0", "runs/full/seed0", "runs/views/seed0", "--markdown", "out.md")
    assert done.output == "out.md\n"
    text = (world / "out.md").read_text()
    assert "runs/full/seed0, data: Other data: train annotations (bbbbbbbbbbbb instead of aaaaaaaaaaaa).\n" in text
    assert "runs/full/seed0, code: Revision 222222222222 instead of 111111111111.\n" in text
    assert "\n-+old\n++new\n```\n" in text
    assert "runs/views/seed0, data: The hashes of the data are not known.\n" in text
    said = json.loads(run("runs/baseline/seed0", "runs/full/seed0", "--json").output)
    assert said["data"]["runs/full/seed0"] == {"train_annotations": ["b" * 12, "a" * 12]}
    assert said["code"]["runs/full/seed0"]["is_same"] is False


def test_files_that_changed_between_revisions_are_listed_if_the_repository_is_at_hand(world):
    commit = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m")
    subprocess.run(["git", "init", "--quiet"], check=True)
    for name, text in (("baseline", "old\n"), ("full", "new\n")):
        (world / "loss.py").write_text(text)
        subprocess.run(["git", "add", "loss.py"], check=True)
        subprocess.run([*commit, name], check=True)
        revision = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
        facts = {"git_revision": revision.strip(), "git_dirty": False}
        write_json(world / "runs" / name / "seed0/environment.json", facts)
    text = run("runs/baseline/seed0", "runs/full/seed0").output
    assert re.search(r"\n```\nloss.py \| 2 \+-\n1 file changed, .*\n```\n", text)
    assert "local changes" not in text


def test_many_runs_are_ranked_in_one_table(world):
    for number in range(12):
        shutil.copytree(world / "results/views/seed0", world / f"results/copy{number}/seed0")
    names = [f"results/copy{number}/seed0" for number in range(12)]
    text = run("results/baseline/seed0", *names, "results/full/seed0").output
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("| results/")]
    assert len(rows) == 14
    assert (rows[0], rows[-1]) == ("results/full/seed0", "results/baseline/seed0")
    assert re.search(r"\| results/copy3/seed0 \| .* \| \+\d+\.\d \[.*\] \| views.weights natural, depth \|", text)
    assert "14 runs, the best on the group `novel` first; the first one named: results/baseline/seed0." in text
