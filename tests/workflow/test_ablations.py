"""The rows of the paper as experiments in a folder: planned from the downloads on COCO, and run on the toy scenes."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from typer.testing import CliRunner

from tests.engine.same import records
from tests.tiny_training import TINY
from tests.workflow.conftest import Checkout
from vclr.cli import app
from vclr.config import list_keys, load_config
from vclr.files import read_json, write_json
from vclr.generate.toy import write_toy_world

ROWS = Path(__file__).parents[2] / "configs/experiment/ablation"
NAMES = sorted(path.stem for path in ROWS.glob("*.yaml"))
ITERATIONS = 20
UNTRACKED = "tracking.enabled=False"
SETTINGS = [*TINY, f"train.max_iter={ITERATIONS}", "train.log_period=10", "dataloader.train.total_batch_size=2"]


def experiments(*names: str) -> tuple[str, ...]:
    return f"experiments=[{','.join(names)}]", "compare=[]", "untrained=[]"


def test_each_row_says_its_question_and_has_a_twin():
    assert sorted(path.stem for path in (ROWS / "toy").glob("*.yaml")) == NAMES
    for path in ROWS.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# ") and "?" in text.partition("base:")[0], f"{path}: asks no question"
        content = yaml.safe_load(text)
        assert content.pop("base") == ("../../demo.yaml" if path.parent.name == "toy" else "../voc_to_nonvoc.yaml")
        for key in _keys(content):
            assert any(key == known or key.startswith(f"{known}.") for known in list_keys()), f"{path}: {key}"


def _keys(tree: dict, above: str = "") -> list[str]:
    found = []
    for name, value in tree.items():
        found += _keys(value, f"{above}{name}.") if isinstance(value, dict) else [f"{above}{name}"]
    return found


def test_a_row_is_planned_with_the_views_of_the_teacher(checkout: Checkout):
    output = checkout.run(
        "snakemake", "all", "-n", "--cores", "1", "--config", *experiments("ablation/teacher_sees_views")
    )
    trained = output.split("runs/ablation/teacher_sees_views/seed0/DONE")[0].rpartition("rule train:")[2]
    for view in ("depth", "style"):  # which the student does not see
        assert f"data/views/coco2017/{view}/manifest.json" in trained
    assert "results/ablation/teacher_sees_views/seed0/metrics.json" in output


@pytest.mark.slow
def test_every_row_is_planned_from_the_downloads(checkout: Checkout):
    plan = checkout.plan("all", "--config", *experiments(*(f"ablation/{name}" for name in NAMES)))
    assert plan["train"] == plan["evaluate"] == plan["audit"] == len(NAMES)
    assert plan["fetch"] == plan["fetch_owis"] == plan["fetch_weights"] == 1 and plan["fetch_view"] == 2
    assert plan["published_split"] == 3 and plan["report"] == 1
    assert plan["proposals"] == plan["published_proposals"] == plan["views"] == 1  # of graph; the best five; edges


@pytest.mark.slow
def test_proposals_are_taken_out_of_their_published_file(checkout: Checkout):
    images = [{"id": number, "file_name": f"{number}.jpg", "height": 60, "width": 80} for number in (1, 2)]
    known = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "iscrowd": 0, "area": 1200}
    proposal = {**known, "id": 2, "bbox": [50, 5, 20, 20], "score": 0.5}
    things = {"images": images, "categories": [{"id": 1, "name": "object"}]}
    raw = checkout.folder / "data/raw"
    write_json(raw / "owis/vCLR_voc_train2017_top10.json", {**things, "annotations": [known, proposal]})
    write_json(raw / "coco2017/annotations/instances_train2017.json", {**things, "annotations": [known]})
    (raw / "coco2017/FETCHED").touch()
    target = "data/proposals/coco2017/train_cutler_voc.json"
    checkout.run("snakemake", target, "--cores", "1")
    (taken,) = read_json(checkout.folder / target)["annotations"]
    assert taken["bbox"] == proposal["bbox"] and taken["score"] == 0.5 and taken["image_id"] == 1


@pytest.mark.slow
def test_edges_that_are_there_are_not_computed(checkout: Checkout):
    checkout.write("data/raw/coco2017/FETCHED", "")
    checkout.write("data/views/coco2017/edge/manifest.json", "{}")
    assert "views" not in checkout.plan("all", "--config", *experiments("ablation/views_edge_files"))


@pytest.fixture
def toy(checkout: Checkout) -> Checkout:
    """Return a copy of the workflow with small toy scenes."""
    write_toy_world(checkout.folder / "data", num_train=16, num_val=8, size=64, quiet=True)
    return checkout


def run(checkout: Checkout, *targets: str, config: tuple[str, ...] = (), settings: tuple[str, ...] = ()) -> str:
    """Run the workflow in the copy, whose package the jobs import."""
    overrides = f"overrides=[{', '.join(map(json.dumps, [*SETTINGS, *settings]))}]"
    snakemake = ("env", f"PYTHONPATH={checkout.folder}", sys.executable, "-m", "snakemake")
    return checkout.run(*snakemake, *targets, "--cores", "1", "--config", overrides, *config)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all that the twins read, made by the commands that the workflow runs."""
    data = tmp_path_factory.mktemp("data")
    write_toy_world(data, num_train=16, num_val=8, size=64, quiet=True)
    images, annotations = f"{data}/raw/toy/images", f"{data}/raw/toy/annotations_train.json"
    proposals = f"{data}/proposals/toy/train_graph.json"
    call("split", "toy_known", "--annotations", annotations, "--output", f"{data}/splits/toy_train_toy_known.json")
    call("proposals", "--method", "graph", "--images", images, "--annotations", annotations, "--output", proposals)
    call("views", "--view", "edge", "--images", images, "--output", f"{data}/views/toy/edge")
    return data


def call(*arguments: str) -> None:
    """Run a command in this process, which has imported already what takes a new one seconds."""
    done = CliRunner().invoke(app, [*arguments, "--quiet"])
    assert done.exit_code == 0, (done.exception, done.output)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_twin_trains_and_is_evaluated(world: Path, name: str, tmp_path: Path):
    """With the commands of the workflow, which `test_twins_through_the_workflow` runs as a whole."""
    file, settings = f"configs/experiment/ablation/toy/{name}.yaml", [*SETTINGS, f"data.root={world}", UNTRACKED]
    call("train", "--config-file", file, f"train.output_dir={tmp_path}/run", *settings)
    assert (tmp_path / "run" / "DONE").read_text().strip() == str(ITERATIONS)
    losses = [record for record in records(tmp_path / "run") if record["kind"] == "train"]
    assert losses and all(math.isfinite(record["loss"]) for record in losses)
    checkpoint = f"{tmp_path}/run/checkpoints/last.pt"
    call("evaluate", "--config-file", file, "--checkpoint", checkpoint, "--output", f"{tmp_path}/results", *settings)
    metrics = read_json(tmp_path / "results" / "metrics.json")
    assert metrics["groups"]["novel"]["mask_ar@100"] is not None
    assert metrics["provenance"]["checkpoint"]["iteration"] == ITERATIONS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twins_through_the_workflow(toy: Checkout):
    """One whose teacher sees views, and one with object proposals."""
    names = ("teacher_sees_views", "proposals_graph")
    targets = [f"results/ablation/toy/{name}/seed0/metrics.json" for name in names]
    run(toy, *targets, settings=(UNTRACKED,))
    for name, target in zip(names, targets, strict=True):
        folder = toy.folder / f"runs/ablation/toy/{name}/seed0"
        assert (folder / "DONE").read_text().strip() == str(ITERATIONS)
        trained, asked = load_config(folder / "config.yaml"), load_config(ROWS / "toy" / f"{name}.yaml", SETTINGS)
        assert trained.views == asked.views and trained.model == asked.model and trained.proposals == asked.proposals
        assert read_json(toy.folder / target)["groups"]["novel"]["mask_ar@100"] is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_twin_has_its_whole_name_in_report_and_store(toy: Checkout):
    name = "ablation/toy/views_natural"
    run(toy, "all", config=experiments(name))
    assert name in (toy.folder / "results/all/report.html").read_text()
    assert "Nothing to be done" in run(toy, "all", config=experiments(name))
    stored = read_json(toy.folder / f"runs/{name}/seed0/mlflow_run.json")
    run_of_training = MlflowClient(f"sqlite:///{toy.folder}/mlflow.db").get_run(stored["run_id"])
    assert run_of_training.info.run_name == f"{name}/seed0"
    assert run_of_training.data.tags["experiment"] == name
