"""The profile of a site: what is in it reaches `vclr launch`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from vclr.config import LauncherConfig
from vclr.errors import UserError
from vclr.launch.profile import launcher_overrides, read_profile

SHIPPED = Path(__file__).parents[2] / "slurm" / "config.yaml"


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_shipped_profile_names_no_site():
    profile = read_profile(SHIPPED)
    expected = LauncherConfig(backend="slurm", nodes=2, tasks_per_node=2, cpus_per_task=2)
    assert profile.training == expected
    assert not {"slurm_partition", "slurm_account", "qos", "constraint"} & set(profile.others)


def test_every_key_that_is_shipped_is_explained():
    lines = [line for line in SHIPPED.read_text().splitlines() if line.strip() and not line.startswith("#")]
    silent = [line for line in lines if not line.rstrip().endswith(":") and "#" not in line]
    assert silent == []


def test_what_every_job_asks_for_holds_for_trainings_too(tmp_path: Path):
    text = """
default-resources: [mem_mb=4000, runtime=60, slurm_partition=gpu, "slurm_extra='--reservation=x'"]
set-resources: {train: {backend: slurm, gres: 'gpu:a100:2', qos: long}}
"""
    training = read_profile(write(tmp_path, text)).training
    assert (training.partition, training.qos, training.gres) == ("gpu", "long", "gpu:a100:2")
    assert training.extra == "--reservation=x"
    assert (training.mem_mb, training.runtime) == (0, 0)  # theirs are the cluster's, or their own


def test_a_type_of_gpu_is_said_once_for_all(tmp_path: Path):
    text = "default-resources: {gpu_type: a100}\nset-resources: {train: {backend: slurm, tasks_per_node: 4}}"
    profile = read_profile(write(tmp_path, text))
    assert profile.training.gpu_type == profile.others["gpu_type"] == "a100"


def test_every_rule_that_runs_a_model_gets_the_same_memory():
    resources = yaml.safe_load(SHIPPED.read_text())["set-resources"]
    rules = re.split(r"^rule (\w+):$", (SHIPPED.parents[1] / "workflow/rules/evaluate.smk").read_text(), flags=re.M)
    model = {name for name, text in zip(rules[1::2], rules[2::2], strict=True) if "gpu=" in text}
    assert model == {"evaluate", "evaluate_shard", "evaluate_untrained", "probe"}
    assert len({resources.get(name, {}).get("mem_mb") for name in model}) == 1


def test_own_resources_win(tmp_path: Path):
    text = "default-resources: {slurm_partition: cpu}\nset-resources: {train: {slurm_partition: gpu, runtime: 600}}"
    training = read_profile(write(tmp_path, text)).training
    assert (training.partition, training.runtime) == ("gpu", 600)


def test_resources_that_are_no_settings_are_left_out():
    assert launcher_overrides({"nodes": 2, "disk_mb": 5, "trainings": 1}) == ["launcher.nodes=2"]


def test_every_setting_may_be_a_resource_and_the_order_stays():
    # Snakemake compares the overrides of a finished training as text.
    resources = {"poll_seconds": 3, "slurm_extra": "x", "slurm_partition": "gpu", "backend": "slurm", "partition": "no"}
    expected = ["backend=slurm", "partition=gpu", "extra=x", "poll_seconds=3"]
    assert launcher_overrides(resources) == [f"launcher.{override}" for override in expected]


@pytest.mark.parametrize(("text", "says"), [("[", "not valid YAML"), ("- a", "is not a mapping")])
def test_mistakes_are_one_line(tmp_path: Path, text: str, says: str):
    with pytest.raises(UserError, match=says):
        read_profile(write(tmp_path, text))
    with pytest.raises(UserError, match="No such file"):
        read_profile(tmp_path / "missing.yaml")
