"""The data folder of the workflow may be anywhere: the key `data`, which every experiment gets as `data.root`."""

from __future__ import annotations

import re

import pytest

from tests.workflow.test_protocols import MINI
from vclr.config import load_config
from vclr.files import read_json
from vclr.generate.toy import write_toy_world

OWN_SETS = """
data:
  train:
    annotations: ${data.root}/splits/mini_train_toy_known.json
    images: ${data.root}/raw/mini/images
    views: {edge: "${data.root}/views/mini/edge"}
    proposals: ${data.root}/proposals/mini/train_graph.json
  test:
    annotations: ${data.root}/raw/mini/annotations_val.json
    images: ${data.root}/raw/mini/images
"""


@pytest.mark.slow
def test_published_experiments_are_planned_below_another_root(checkout, tmp_path):
    """The same jobs as below `data/`, and no path of any of them is there."""
    root = tmp_path / "scratch"
    config = ("--config", "experiments=[voc_to_nonvoc,coco_to_lvis,demo]")
    assert checkout.plan("all", *config, f"data={root}/") == checkout.plan("all", *config)
    output = checkout.run("snakemake", "all", "-np", "--cores", "2", *config, f"data={root}")
    assert not re.findall(r"(?<!\S)data/\S*", output)
    commands = re.findall(r"vclr (?:fetch|launch|evaluate|audit) .*", output)
    assert all(f" --output {root} " in command or f" data.root={root} " in command for command in commands)
    assert {command.split()[1] for command in commands} == {"fetch", "launch", "evaluate", "audit"}
    assert f"vclr split nonvoc --annotations {root}/raw/coco2017/annotations/instances_val2017.json" in output


def test_paths_of_an_experiment_s_own_stay(checkout, tmp_path):
    checkout.write("mine/images/1.jpg", "")
    checkout.write("mine/train.json", "{}")
    checkout.write("mine/val.json", "{}")
    checkout.write(
        "configs/experiment/mine.yaml",
        "data:\n  train: {annotations: mine/train.json, images: mine/images}\n"
        "  test: {annotations: mine/val.json, images: mine/images}\n",
    )
    plan = checkout.plan("all", "--config", "experiments=[mine]", "untrained=[]", f"data={tmp_path}/scratch")
    assert plan == {"train": 1, "evaluate": 1, "audit": 1, "report": 1}


def test_a_root_that_no_rule_can_have_is_one_line(checkout):
    output = checkout.run("snakemake", "all", "-n", "--config", "data=my data", check=False)
    assert output.splitlines()[-1].startswith("vclr: configs/workflow.yaml or --config: data: 'my data' does not match")


@pytest.mark.parametrize("experiment", ["demo", "photos", "voc_to_nonvoc", "coco_to_lvis_readme"])
def test_shipped_experiments_follow_the_root(experiment):
    def paths(*overrides):
        config = load_config(f"configs/experiment/{experiment}.yaml", overrides)
        sets = (config.data.train, config.data.test)
        named = [path for one in sets for path in (one.annotations, one.images, one.proposals, *one.views.values())]
        return [path for path in (*named, config.train.init_checkpoint) if path]

    assert paths("data.root=/elsewhere") == [path.replace("data/", "/elsewhere/", 1) for path in paths()]
    assert all(path.startswith("data/") for path in paths())


@pytest.mark.slow
def test_splits_views_proposals_and_a_training_below_another_root(checkout, tmp_path):
    root = tmp_path / "scratch"
    write_toy_world(tmp_path / "world", num_train=4, num_val=4, size=64, quiet=True)
    (root / "raw").mkdir(parents=True)
    (tmp_path / "world/raw/toy").rename(root / "raw/mini")
    text = MINI.split("data:")[0].replace("{natural: 1.0}", "{natural: 1.0, edge: 1.0}")
    checkout.write("configs/experiment/mini.yaml", text + OWN_SETS)
    target = "results/mini/seed0/metrics.json"
    config = (target, "--cores", "2", "--config", "training_threads=1", f"data={root}")
    output = checkout.run("snakemake", *config)
    assert set(re.findall(r"^(?:local)?rule (\w+):$", output, flags=re.MULTILINE)) == {
        "split", "views", "inspect_views", "proposals", "train", "evaluate",
    }  # fmt: skip
    assert not (checkout.folder / "data").exists()
    provenance = read_json(checkout.folder / target)["provenance"]
    assert provenance["test_set"]["annotations"] == f"{root}/raw/mini/annotations_val.json"
    assert checkout.plan(*config) == {}
