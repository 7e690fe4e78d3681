"""One training on several test sets, for real: folders, provenance, MLflow; and a finished training stays finished."""

from __future__ import annotations

import hashlib

import pytest
from mlflow import MlflowClient

from vclr.catalog.metrics import MAX_PREDICTIONS
from vclr.files import read_json
from vclr.generate.toy import write_toy_world

MINI = """
base: ../small_detector.yaml
train: {max_iter: 2, eval_period: 0, device: cpu, checkpointer: {period: 2}}
dataloader:
  train: {total_batch_size: 2, num_workers: 1, mapper: {short_edge_length: [64], crop_probability: 0.0}}
  test: {num_workers: 0, mapper: {short_edge_length: 64}}
model: {num_queries: 20, criterion: {num_points: 64}}
views: {weights: {natural: 1.0}}
data:
  train: {annotations: data/raw/mini/annotations_train.json, images: data/raw/mini/images}
  test: {annotations: data/raw/mini/annotations_val.json, images: data/raw/mini/images}
evaluation:
  protocols: [novel, both]
  groups: {known: [disk, square], novel: [ring, heart]}
  test_sets:
    both: {annotations: data/raw/mini/annotations_train.json, images: data/raw/mini/images}
"""
PROBE = "results/mini/seed0/novel/probe.json"
PICTURE = "pictures/probe_novel/probe.png"
RESULTS = [f"results/mini/seed0/{protocol}/metrics.json" for protocol in ("novel", "both")]


@pytest.mark.slow
def test_one_model_on_two_test_sets_from_training_to_mlflow(checkout, tmp_path):
    write_toy_world(tmp_path / "world", num_train=4, num_val=4, size=64, quiet=True)
    (checkout.folder / "data/raw").mkdir(parents=True)
    (tmp_path / "world/raw/toy").rename(checkout.folder / "data/raw/mini")
    checkout.write("configs/experiment/mini.yaml", MINI)
    command = ("snakemake", *RESULTS, PROBE, "--cores", "2", "--config", "training_threads=1")
    checkout.run(*command)

    last = checkout.folder / "runs/mini/seed0/checkpoints/last.pt"
    found = {name: read_json(checkout.folder / name)["provenance"] for name in RESULTS}
    checkpoint = {"path": "runs/mini/seed0/checkpoints/last.pt", "iteration": 2}
    checkpoint["sha256"] = hashlib.sha256(last.read_bytes()).hexdigest()
    assert [provenance["checkpoint"] for provenance in found.values()] == [checkpoint] * 2
    assert [provenance["protocol"] for provenance in found.values()] == ["novel", "both"]
    assert [provenance["test_set"]["annotations"] for provenance in found.values()] == [
        "data/raw/mini/annotations_val.json",
        "data/raw/mini/annotations_train.json",
    ]

    run = read_json(checkout.folder / "runs/mini/seed0/mlflow_run.json")
    client = MlflowClient(f"sqlite:///{checkout.folder}/mlflow.db")
    metrics = client.get_run(run["run_id"]).data.metrics
    stored = {name for name in metrics if name.startswith("results/")}
    assert {"results/novel/mask_ar_100", "results/both/mask_ar_100", "results/both/known/mask_ar_100"} <= stored
    probe = read_json(checkout.folder / PROBE)
    assert probe["provenance"] == found[RESULTS[0]]
    assert [one.path for one in client.list_artifacts(run["run_id"], "pictures/probe_novel")] == [PICTURE]
    photos = probe["renderings"]["natural"]["groups"]["novel"]["metrics"]
    evaluated = read_json(checkout.folder / RESULTS[0])["groups"]["novel"]
    assert photos == {name: value for name, value in evaluated.items() if name not in ("intervals", MAX_PREDICTIONS)}

    # What Snakemake runs again for whatever reason is not submitted again, and what only a test has trains nothing.
    jobs = checkout.folder / "runs/mini/seed0/jobs"
    finished = ("runs/mini/seed0/DONE", *command[command.index("--cores") :])
    again = checkout.run("snakemake", *finished, "--forcerun", "train")
    assert "runs/mini/seed0: finished already" in again
    assert (checkout.folder / "runs/mini/seed0/DONE").read_text() == "2\n"
    assert [path.name for path in jobs.iterdir() if path.is_dir()] == ["1"]
    assert checkout.plan(*finished, 'overrides=["evaluation.max_dets=[1]"]') == {}
