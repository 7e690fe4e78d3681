"""The workflow runs what a change needs and nothing else (dry runs)."""

from __future__ import annotations

import json
import os
import re
import sys

import numpy as np
import pytest
import yaml

from vclr.catalog.classes import VOC_CLASSES
from vclr.catalog.data_sets import DATA_SETS
from vclr.files import read_json
from vclr.generate.pack import pack_folder
from vclr.pictures import write_png

DEMO = ("demo_baseline", "demo_views", "demo")
OWN_EXPERIMENT = """
train: {eval_period: 0}
views: {weights: {natural: 1.0, edge: 1.0}}
data:
  train:
    annotations: data/splits/photos_train_voc.json
    images: data/raw/photos/images
    views: {edge: data/views/photos/edge}
    proposals: data/proposals/photos/train_graph.json
  test: {annotations: data/raw/photos/annotations_val.json, images: data/raw/photos/images}
"""


def add_own_photos(checkout):
    checkout.write("configs/experiment/own.yaml", OWN_EXPERIMENT)
    checkout.write("data/raw/photos/images/1.jpg", "")
    for part in ("train", "val"):
        checkout.write(f"data/raw/photos/annotations_{part}.json", "{}")


def change_experiment(checkout, name, text):
    """Give an experiment one more setting, by a file between it and what it was."""
    path = f"configs/experiment/{name}.yaml"
    (checkout.folder / path).rename(checkout.folder / f"configs/experiment/former_{name}.yaml")
    checkout.write(path, f"base: former_{name}.yaml\n{text}\n")


def test_fresh_demo_runs_everything_once(checkout):
    plan = checkout.plan("demo")
    assert plan["train"] == plan["evaluate"] == len(DEMO)
    assert plan["fetch_toy"] == plan["split"] == plan["report"] == plan["evaluate_untrained"] == 1
    assert "views" not in plan  # the toy world comes with its own


def test_finished_demo_has_nothing_to_do(finished):
    assert finished.plan("demo") == {}


def test_changed_training_key_reruns_that_training_and_what_follows(finished):
    change_experiment(finished, "demo_baseline", "optimizer: {lr: 0.123}")
    assert finished.plan("demo") == {"train": 1, "evaluate": 1, "report": 1}


def test_changed_evaluation_key_reruns_evaluation_and_report(finished):
    change_experiment(finished, "demo_baseline", "evaluation: {max_dets: [1, 100]}")
    assert finished.plan("demo") == {"evaluate": 1, "report": 1}


def test_tracking_changes_nothing_that_is_computed(finished):
    change_experiment(finished, "demo_baseline", "tracking: {enabled: false}")
    assert finished.plan("demo") == {}


def test_where_a_training_runs_changes_nothing_that_is_computed(finished):
    assert finished.plan("demo", "--set-resources", "train:nodes=2", "train:backend=slurm") == {}
    assert finished.plan("demo", "--config", "training_processes=2", "training_threads=1") == {}


def test_resources_of_a_training_reach_the_launcher(checkout):
    resources = ("train:backend=slurm", "train:nodes=3", "train:slurm_partition=gpu", "train:on_interrupt=detach")
    commands = checkout.run("snakemake", "demo", "-np", "--cores", "1", "--set-resources", *resources)
    launches = [line for line in commands.splitlines() if "vclr launch" in line]
    settings = ("backend=slurm", "nodes=3", "partition=gpu", "on_interrupt=detach", "cpus_per_task=1")
    assert all(f"launcher.{setting}" in line for setting in settings for line in launches), launches


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_a_type_of_gpu_is_said_once_for_evaluations_and_trainings(checkout, monkeypatch, tmp_path):
    """In a partition that the profile names, and only if that has GPUs of the type."""
    sinfo = tmp_path / "bin" / "sinfo"
    sinfo.parent.mkdir()
    sinfo.write_text("#!/bin/sh\ncase $* in *--partition=gpu*) echo 'gpu|gpu:a100:4';; *) echo 'main*|(null)';; esac\n")
    (sinfo.parent / "squeue").write_text("#!/bin/sh\n")  # without it Snakemake's executor does not even load
    for command in sinfo.parent.iterdir():
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sinfo.parent}:{os.environ['PATH']}")

    def ask_for(*resources):
        output = checkout.run("snakemake", "demo", "-np", "--cores", "1", "--default-resources", *resources)
        rules = re.findall(r"^(?:local)?rule (evaluate\w*):\n(.*?)\n\n", output, flags=re.MULTILINE | re.DOTALL)
        asked = {name: re.findall(r"\b(gpu\w*)=(\w+)", text.split("resources:", 1)[1]) for name, text in rules}
        launches = [line for line in output.splitlines() if "vclr launch" in line]
        return [dict(asked[name]) for name in ("evaluate", "evaluate_untrained")], launches

    evaluations, launches = ask_for("gpu_type=a100", "slurm_partition=gpu")
    assert evaluations == [{"gpu": "1", "gpu_type": "a100", "gpu_model": "a100"}] * 2
    assert all("launcher.gpu_type=a100" in line for line in launches)
    for absent in (["gpu_type=h100", "slurm_partition=gpu"], ["gpu_type=a100"]):
        assert all("gpu_model" not in asked and asked["gpu"] == "0" for asked in ask_for(*absent)[0])
    evaluations, launches = ask_for("slurm_partition=gpu")
    assert evaluations == [{"gpu": "1"}] * 2
    assert not any("gpu_type" in line for line in launches)


def test_overrides_reach_every_command(checkout):
    config = ("--config", "overrides=[train.max_iter=7]", "experiments=[demo]")
    commands = re.findall(r"vclr .*", checkout.run("snakemake", "all", "-np", "--cores", "1", *config))
    assert {command.split()[1] for command in commands if "train.max_iter=7" in command} == {
        "launch",
        "evaluate",
        "audit",
    }
    assert not [
        command for command in commands if re.search(r"vclr (launch|evaluate)", command) and "max_iter=7" not in command
    ]


@pytest.mark.parametrize(
    "override",
    [
        "evaluation.max_dets=[1]",
        "dataloader.test.batch_size=2",
        "data.test.images=data/raw/toy/images/",
        "train.log_period=3",
    ],
)
def test_an_override_that_no_training_depends_on_does_not_train_again(finished, override):
    plan = finished.plan("demo", "--config", f'overrides=["{override}"]')
    assert "train" not in plan
    assert plan == {} or plan["evaluate"] == len(DEMO)


# --- protocols -------------------------------------------------------------------------------------------------------

PROTOCOLS = ("all", "--config", "experiments=[voc_to_nonvoc]", 'overrides=["evaluation.protocols=[nonvoc,uvo]"]')


def test_protocols_share_one_training(checkout):
    plan = checkout.plan(*PROTOCOLS, "untrained=[voc_to_nonvoc]")
    made = {name: plan[name] for name in ("train", "evaluate", "evaluate_untrained", "audit", "report")}
    assert made == {"train": 1, "evaluate": 2, "evaluate_untrained": 2, "audit": 2, "report": 1}
    output = checkout.run("snakemake", *PROTOCOLS, "-np", "--cores", "2")
    commands = re.findall(r"vclr evaluate .*(?= 2>&1)", output)
    checkpoint = "--checkpoint runs/voc_to_nonvoc/seed0/checkpoints/last.pt"
    for protocol in ("nonvoc", "uvo"):
        (command,) = [command for command in commands if f"--protocol {protocol} " in command]
        assert f"{checkpoint} --output results/voc_to_nonvoc/seed0/{protocol} " in command


def test_shards_of_protocols_are_apart(checkout):
    output = checkout.run("snakemake", *PROTOCOLS, "shards={evaluation: 2}", "-np", "--cores", "2")
    for protocol in ("nonvoc", "uvo"):
        folder = f"results/voc_to_nonvoc/seed0/{protocol}"
        joined = " ".join(f"--predictions {folder}/shards/{number}of2/predictions.json" for number in (1, 2))
        assert f"{joined} --output {folder} train.num_threads=1 --protocol {protocol} " in output


@pytest.mark.slow
def test_one_more_protocol_is_one_more_evaluation(checkout):
    checkout.finish(*PROTOCOLS)
    assert checkout.plan(*PROTOCOLS) == {}
    more = (*PROTOCOLS[:-1], PROTOCOLS[-1].replace("uvo", "uvo,lvis"))
    assert checkout.plan(*more) == {"fetch_owis": 1, "published_split": 1, "evaluate": 1, "audit": 1, "report": 1}


# --- probes ----------------------------------------------------------------------------------------------------------


def test_a_probe_is_made_if_it_is_asked_for(finished):
    assert finished.plan("demo", "--config", "probed=[demo]") == {"probe": 1, "report": 1}
    assert finished.plan("results/demo/seed0/probe.png") == {"probe": 1}


@pytest.mark.slow
def test_a_probe_of_each_protocol_reads_the_views_of_its_test_set(checkout):
    views = "overrides=[data.test.views.edge=data/views/toy/edge]"
    assert checkout.plan("results/demo/seed0/probe.json", "--config", views)["views"] == 1
    output = checkout.run("snakemake", *PROTOCOLS, "probed=[voc_to_nonvoc]", "-np", "--cores", "2")
    checkpoint = "--checkpoint runs/voc_to_nonvoc/seed0/checkpoints/last.pt"
    for protocol in ("nonvoc", "uvo"):
        (command,) = re.findall(rf"vclr probe .*--protocol {protocol} .*(?= 2>&1)", output)
        assert f"{checkpoint} --output results/voc_to_nonvoc/seed0/{protocol} " in command


@pytest.mark.slow
def test_changed_views_probe_again_and_evaluate_nothing(finished):
    target = "results/demo_baseline/seed0/probe.json"
    finished.finish(target)
    assert finished.plan(target) == {}
    change_experiment(finished, "demo_baseline", "data: {test: {views: {depth: data/views/toy/depth}}}")
    assert finished.plan("demo", "--config", "probed=[demo_baseline]") == {"probe": 1, "report": 1}


# --- what is asked for -----------------------------------------------------------------------------------------------


def test_experiments_on_the_command_line_are_all_that_runs(finished):
    plan = finished.plan("all", "--config", "experiments=[demo]", "seeds=[0,3]")
    assert plan == {"train": 1, "evaluate": 1, "report": 1}  # seed 0 is there


def test_own_photos_get_their_split_views_and_proposals(checkout):
    add_own_photos(checkout)
    plan = checkout.plan("all", "--config", "experiments=[own]")
    made = ("split", "views", "inspect_views", "proposals", "train", "evaluate", "audit", "report")
    assert plan == dict.fromkeys(made, 1)


@pytest.mark.slow
def test_changed_training_key_leaves_views_alone(checkout):
    add_own_photos(checkout)
    own = ("all", "--config", "experiments=[own]")
    checkout.finish(*own)
    assert checkout.plan(*own) == {}
    change_experiment(checkout, "own", "train: {max_iter: 7}")
    assert checkout.plan(*own) == {"train": 1, "evaluate": 1, "report": 1}


# --- shards ----------------------------------------------------------------------------------------------------------

OWN = ("all", "--config", "experiments=[own]")
KEEP = ("--rerun-triggers", "mtime", "params", "code", "software-env")  # as slurm/config.yaml has it
WITH_SHARDS = "shards={views: 4, proposals: 3, evaluation: 2}"


def test_shards_are_jobs_of_their_own(checkout):
    add_own_photos(checkout)
    plan = checkout.plan(*OWN, WITH_SHARDS)
    shards = {"views_shard": 4, "proposals_shard": 3, "evaluate_shard": 2}
    others = ("split", "views", "inspect_views", "proposals", "train", "evaluate", "audit", "report")
    assert plan == {**dict.fromkeys(others, 1), **shards}


def test_without_shards_the_commands_name_none(checkout):
    add_own_photos(checkout)
    output = checkout.run("snakemake", *OWN, "-np", "--cores", "2")
    commands = dict(re.findall(r"vclr (views|proposals|evaluate) (?!inspect)(.*) --output", output))
    assert commands == {
        "views": "--view edge --images data/raw/photos/images",
        "proposals": "--method graph --images data/raw/photos/images"
        " --annotations data/raw/photos/annotations_train.json",
        "evaluate": "--config-file configs/experiment/own.yaml --checkpoint runs/own/seed0/checkpoints/last.pt",
    }


def test_shards_work_and_are_joined(checkout):
    add_own_photos(checkout)
    output = checkout.run("snakemake", *OWN, WITH_SHARDS, "-np", "--cores", "2")
    commands = re.findall(r"vclr (?:views|proposals|evaluate) (?!inspect).*(?= 2>&1)", output)
    folder = "results/own/seed0"
    for command in (
        "vclr views --view edge --images data/raw/photos/images --shard 3/4"
        " --output data/views/photos/edge.shards/3of4",
        "vclr proposals --join data/proposals/photos/train_graph.shards/1of3.json"
        " --join data/proposals/photos/train_graph.shards/2of3.json"
        " --join data/proposals/photos/train_graph.shards/3of3.json --output data/proposals/photos/train_graph.json",
        "vclr evaluate --config-file configs/experiment/own.yaml --checkpoint runs/own/seed0/checkpoints/last.pt"
        f" --shard 2/2 --output {folder}/shards/2of2 train.num_threads=2 ",
        f"vclr evaluate --config-file configs/experiment/own.yaml --predictions {folder}/shards/1of2/predictions.json"
        f" --predictions {folder}/shards/2of2/predictions.json --output {folder} train.num_threads=1 ",
    ):
        assert any(one.startswith(command) for one in commands), command
    assert len(commands) == 3 + 4 + 3 + 2


@pytest.mark.slow
def test_more_shards_make_nothing_again(checkout):
    add_own_photos(checkout)
    checkout.finish(*OWN)
    assert checkout.plan(*OWN, WITH_SHARDS, *KEEP) == {}


@pytest.mark.slow
def test_fewer_shards_make_nothing_again(checkout):
    add_own_photos(checkout)
    checkout.finish(*OWN, WITH_SHARDS)
    for shards in (WITH_SHARDS, "shards={views: 2, proposals: 2, evaluation: 3}", "shards={}"):
        assert checkout.plan(*OWN, shards, *KEEP) == {}
    checkout.write("data/raw/photos/images/2.jpg", "")
    followers = ("inspect_views", "proposals", "train", "evaluate", "audit", "report")
    again = {"views": 1, "views_shard": 16, **dict.fromkeys(followers, 1)}
    assert checkout.plan(*OWN, "shards={views: 16}", *KEEP) == again


# --- packed folders --------------------------------------------------------------------------------------------------


def test_packed_photos_and_views_are_their_zips(checkout):
    add_own_photos(checkout)
    photos, views = (checkout.folder / name for name in ("data/raw/photos/images", "data/views/photos/edge"))
    pack_folder(photos, remove=True, quiet=True)
    commands = checkout.run("snakemake", *OWN, "-np", "--cores", "2")
    assert "vclr views --view edge --images data/raw/photos/images " in commands
    assert re.search(r"data/raw/photos/images\.zip", commands)
    views.mkdir(parents=True)
    (views / "1.png").touch()
    pack_folder(views, remove=True, quiet=True)
    made = dict.fromkeys(("split", "inspect_views", "proposals", "train", "evaluate", "audit", "report"), 1)
    assert checkout.plan(*OWN) == made
    checkout.write("configs/experiment/own.yaml", OWN_EXPERIMENT.replace("photos/images", "photos/images.zip"))
    assert checkout.plan(*OWN) == made


@pytest.mark.slow
def test_packing_makes_nothing_again(checkout):
    add_own_photos(checkout)
    checkout.finish(*OWN)
    for name in ("data/raw/photos/images", "data/views/photos/edge"):
        pack_folder(checkout.folder / name, remove=True, quiet=True)
    assert checkout.plan(*OWN, *KEEP) == {}


def test_packed_toy_world_is_not_generated_again(finished):
    for name in ("data/views/toy/depth", "data/views/toy/style"):
        pack_folder(finished.folder / name, remove=True, quiet=True)
    assert finished.plan("demo", *KEEP) == {}


# --- the rest --------------------------------------------------------------------------------------------------------


def test_interrupted_training_keeps_its_folder(finished):
    outputs = finished.run("snakemake", "demo", "--summary", "--cores", "1")
    runs = [line.split("\t")[0] for line in outputs.splitlines() if line.startswith("runs/")]
    assert sorted(runs) == sorted(f"runs/{name}/seed0/DONE" for name in DEMO)


def test_every_rule_is_documented_and_one_command(checkout):
    rules = (checkout.folder / "workflow/rules").glob("*.smk")
    for text in [path.read_text() for path in rules]:
        assert text.startswith("# ")
        assert "# inputs:" in text
        assert "# outputs:" in text
        for rule in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]:
            assert re.match(r'\w+:\n    """', rule), rule
            assert "    log:\n" in rule
            assert rule.count('"vclr ') == 1, rule


def test_slurm_profile_is_a_profile(checkout):
    options = checkout.run("snakemake", "--help")
    profile = yaml.safe_load((checkout.folder / "slurm/config.yaml").read_text())
    assert profile["executor"] == "slurm"
    assert not [key for key in profile if f"--{key}" not in options]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_slurm_profile_plans_the_same_jobs(checkout):
    output = checkout.run("snakemake", "--profile", "slurm", "all", "-np")
    launches = [line for line in output.splitlines() if "vclr launch" in line]
    assert len(launches) == len(DEMO)
    assert all("launcher.backend=slurm launcher.nodes=2 launcher.tasks_per_node=2" in line for line in launches)


# --- published data --------------------------------------------------------------------------------------------------

PUBLISHED = ("all", "--config", "experiments=[voc_to_nonvoc,coco_to_lvis]")


def test_published_experiments_are_planned_from_the_downloads_on(checkout):
    plan = checkout.plan(*PUBLISHED)
    fetched = {"fetch": 1, "fetch_owis": 3, "fetch_view": 2, "fetch_weights": 1}
    assert plan == {
        **fetched,
        "published_split": 4,
        "inspect_views": 2,
        "train": 2,
        "evaluate": 2,
        "audit": 2,
        "report": 1,
    }
    output = checkout.run("snakemake", *PUBLISHED, "-np", "--cores", "2")
    assert sorted(re.findall(r"vclr fetch (\S+)", output)) == [
        "coco2017",
        "owis/openworld_lvis_noncoco_val_correct.json",
        "owis/style_coco_train2017",
        "owis/train2017_depth_cmap",
        "owis/vCLR_coco_train2017_top5.json",
        "owis/vCLR_voc_train2017_top10.json",
        "weights/R-50.pkl",
    ]


@pytest.mark.parametrize(
    ("experiment", "override", "fetched"),
    [
        ("voc_to_nonvoc_readme", "", ["weights/dino_resnet50_pretrain.pth"]),
        ("coco_to_lvis", "train.init_checkpoint=", []),
        ("voc_to_nonvoc_readme", "train.init_checkpoint=", []),
    ],
)
def test_only_first_weights_that_are_named_are_fetched(checkout, experiment: str, override: str, fetched: list[str]):
    config = ("all", "--config", f"experiments=[{experiment}]", f"overrides=[{override}]")
    output = checkout.run("snakemake", *config, "-np", "--cores", "2")
    assert re.findall(r"vclr fetch (weights\S+)", output) == fetched
    assert len(re.findall(rf"vclr launch .*{re.escape(override)}", output)) == 1


def test_another_backbone_in_the_same_folder_trains_again(checkout):
    backbone = {"name": "transformers", "source": "backbone", "depth": 50, "norm": "FrozenBN"}
    backbone |= {"stem_out_channels": 64, "res2_out_channels": 256}
    change_experiment(checkout, "demo_baseline", f"model: {json.dumps({'backbone': backbone})}")
    checkout.write("backbone/config.json", "{}")
    checkout.write("backbone/model.safetensors", "weights")
    targets = ("all", "--config", "experiments=[demo_baseline]", "compare=[]", "untrained=[]")
    checkout.finish(*targets)
    assert checkout.plan(*targets) == {}
    checkout.write("backbone/model.safetensors", "others")
    assert checkout.plan(*targets)["train"] == 1


GRAPH = "dataloader.train.dataset.names=openworld_voc_classes_train2017_graph"


def test_an_experiment_names_whose_proposals_it_trains_on(checkout):
    change_experiment(
        checkout, "voc_to_nonvoc", "dataloader: {train: {dataset: {names: openworld_voc_classes_train2017_graph}}}"
    )
    output = checkout.run("snakemake", *PUBLISHED, "-np", "--cores", "2")
    train = "data/raw/coco2017/annotations/instances_train2017.json"
    proposals = "data/proposals/coco2017/train_graph.json"
    assert re.findall(r"vclr fetch owis/(vCLR\S+)", output) == ["vCLR_coco_train2017_top5.json"]
    assert f"--images data/raw/coco2017/train2017 --annotations {train} --output {proposals}" in output
    made = f"--proposals {proposals} --output data/splits/coco2017_train_voc_top10_graph.json"
    assert f"vclr split voc_top10 --annotations {train} {made}" in output


@pytest.mark.slow
def test_a_switch_of_proposals_trains_again_and_back_and_mixes_nothing(checkout):
    def choose(*overrides):
        return ("all", "--config", "experiments=[voc_to_nonvoc]", f"overrides=[{','.join(overrides)}]")

    checkout.finish(*choose())
    switched = checkout.plan(*choose(GRAPH))
    follows = {"inspect_views": 1, "train": 1, "evaluate": 1, "audit": 1, "report": 1}
    assert switched == {"published_split": 1, "proposals": 1, **follows}
    checkout.finish(*choose(GRAPH))
    assert checkout.plan(*choose(GRAPH)) == {}
    assert checkout.plan(*choose()) == follows  # its own training file is still there


def test_every_set_of_the_catalog_is_made_by_a_rule(checkout):
    sets = [made for data_set in DATA_SETS.values() for made in (data_set, data_set.as_published())]
    splits = sorted({f"data/{data_set.annotations}" for data_set in sets})
    folders = {folder for data_set in DATA_SETS.values() for folder in data_set.view_folders.values()}
    views = sorted(f"data/{folder}/manifest.json" for folder in folders)
    output = checkout.run("snakemake", *splits, *views, "--dry-run", "--cores", "1")
    for target in (*splits, *views):
        assert target in output


@pytest.mark.slow
def test_a_set_put_in_place_by_hand_is_verified_and_split(checkout, monkeypatch):
    """UVO's videos become frames, with the rules that run where there is no network."""
    frames = ("one/0.png", "one/1.png")
    names = [*VOC_CLASSES, "zebra", "other"]
    tracks = [
        {"id": number, "video_id": 1, "category_id": 1 + names.index(name), "iscrowd": 0, "areas": [16, 16]}
        | {"bboxes": [[1, 1, 4, 4], [2, 1, 4, 4]], "segmentations": [[[1, 1, 5, 1, 5, 5, 1, 5]]] * 2}
        for number, name in enumerate(("dog", "zebra", "other"))
    ]
    world = {
        "videos": [{"id": 1, "file_names": list(frames), "height": 20, "width": 30}],
        "annotations": tracks,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
    }
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # where part of it could be had
    target = ("snakemake", "data/splits/uvo_val_nonvoc.json", "--cores", "1")
    assert "in place by hand, as described above" in checkout.run(*target, check=False)
    checkout.write("data/raw/uvo/uvo_val_dense.json", json.dumps(world))
    for name in frames:
        write_png(checkout.folder / "data/raw/uvo/uvo_videos_dense_frames" / name, np.zeros((20, 30, 3), np.uint8))
    checkout.run(*target)
    split = read_json(checkout.folder / "data/splits/uvo_val_nonvoc.json")
    assert [image["file_name"] for image in split["images"]] == list(frames)
    assert len(split["annotations"]) == 4
    assert "Nothing to be done" in checkout.run(*target)
