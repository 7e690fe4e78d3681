"""Two rounds of self-training: what the rules join, and a real run on a small toy world."""

from __future__ import annotations

import json
import re
import sys

import pytest

from vclr.config import load_config
from vclr.data import data_sets
from vclr.files import read_json
from vclr.generate.toy import write_toy_world
from workflow.self_training import first_proposals, known_annotations

VOC = "openworld_voc_classes_train2017"


def read(experiment: str, *overrides: str):
    return load_config(f"configs/experiment/{experiment}.yaml", list(overrides))


def test_first_round_is_what_the_training_had():
    for experiment, overrides, first, known in (
        ("demo", (), "data/proposals/toy/train_graph.json", "data/splits/toy_train_toy_known.json"),
        ("photos", (), "data/proposals/photos/train_graph.json", "data/splits/photos_train_voc.json"),
        (
            *("voc_to_nonvoc", ()),
            *("data/raw/owis/vCLR_voc_train2017_top10.json", "data/splits/coco2017_train_voc.json"),
        ),
        (
            *("voc_to_nonvoc", (f"dataloader.train.dataset.names={VOC}_graph",)),
            *("data/proposals/coco2017/train_graph.json", "data/splits/coco2017_train_voc.json"),
        ),
    ):
        config = read(experiment, *overrides)
        name = first.split("/")[2] if "proposals" in first else "coco2017"
        assert first_proposals(config, name, "train") == first
        assert known_annotations(config, experiment) == known


def test_second_round_trains_on_known_objects_and_the_proposals_of_its_seed():
    for experiment, first in (("demo_round2", "demo"), ("voc_to_nonvoc_round2", "voc_to_nonvoc")):
        train = data_sets.training_set(read(experiment, "train.seed=3"))
        assert train.proposals.endswith(f"/train_round2_{first}_seed3.json")
        assert train.annotations == known_annotations(read(first), first)
        assert train.views == data_sets.training_set(read(first)).views


def test_plan_follows_the_seed(checkout):
    output = checkout.run(
        "snakemake", "all", "-np", "--cores", "2", "--config", "experiments=[demo_round2]", "seeds=[0,3]"
    )
    made = "data/proposals/toy/train_{}_demo_seed{}.json"
    for seed in (0, 3):
        checkpoint = f"runs/demo/seed{seed}/checkpoints/last.pt"
        detector, second = made.format("detector", seed), made.format("round2", seed)
        assert re.search(rf"--method detector --checkpoint {checkpoint} .*--output {detector} ", output)
        merge = f"vclr proposals merge data/proposals/toy/train_graph.json {detector}"
        assert f"{merge} --annotations data/splits/toy_train_toy_known.json --output {second} " in output
    assert len(re.findall(r"vclr launch --config-file configs/experiment/demo\.yaml", output)) == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_rounds_run_to_their_report(checkout):
    write_toy_world(checkout.folder / "data", num_train=16, num_val=8, size=64, quiet=True)
    settings = [
        *("train.max_iter=8", "train.checkpointer.period=8", "tracking.enabled=False"),
        *("dataloader.train.total_batch_size=2", "dataloader.train.mapper.short_edge_length=[64]"),
        "dataloader.test.mapper.short_edge_length=64",
    ]
    overrides = f"overrides=[{', '.join(map(json.dumps, settings))}]"
    python_path = f"PYTHONPATH={checkout.folder}"
    run = ("env", python_path, sys.executable, "-m", "snakemake", "self_training", "--cores", "2")
    checkout.run(*run, "--config", overrides, "untrained=[]")

    second = read_json(checkout.folder / "data/proposals/toy/train_round2_demo_seed0.json")
    sources = [one["file"] for one in second["info"]["sources"]]
    assert sorted(sources) == ["train_detector_demo_seed0.json", "train_graph.json"]
    assert second["annotations"]
    trained = load_config(checkout.folder / "runs/demo_round2/seed0/config.yaml")
    assert trained.data.train.proposals == "data/proposals/toy/train_round2_demo_seed0.json"
    assert "proposals" in json.loads((checkout.folder / "runs/demo_round2/seed0/data.json").read_text())
    summary = (checkout.folder / "results/self_training/summary.json").read_text()
    assert "demo_round2" in summary
    assert "Nothing to be done" in checkout.run(*run, "--config", overrides, "untrained=[]")
