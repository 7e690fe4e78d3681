"""`vclr doctor slurm`: each finding with a fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.finding import ERROR, OK, Finding
from vclr.launch.doctor import check_slurm

SHIPPED = Path(__file__).parents[2] / "slurm"


def by_topic(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.topic: finding for finding in findings}


def test_machine_without_slurm(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    (finding,) = check_slurm(SHIPPED, 1.0)
    assert finding.level == ERROR
    assert "sbatch" in finding.says
    assert "login node" in finding.fix


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_cluster_as_it_is_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    findings = list(check_slurm(SHIPPED, 120.0))
    assert [finding for finding in findings if finding.level == ERROR] == []
    found = by_topic(findings)
    assert found["partition"].says == "main (the default one)"
    assert "gpu:2" in found["GPUs"].says
    for topic in ("shared folder", "locks", "between nodes", "environment"):
        assert found[topic].level == OK, found[topic]
    assert "node1, node2" in found["shared folder"].says
    assert list(tmp_path.iterdir()) == []  # nothing stays


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("own", "topic", "fix"),
    [
        ("slurm_partition: nowhere", "partition", "main, urgent"),
        ("gres: gpu:a100:2", "GPUs", "gpu:2"),
        ("gpu_type: a100", "GPUs", "gpu:2"),
        ("gpus_per_node: 8", "GPUs", "at most 2"),
        ("tasks_per_node: 3", "GPUs", "at most 2"),
        ("nodes: 5", "training", "sinfo"),
        ("mem_mb: 999999999", "training", "sinfo"),
    ],
)
def test_what_the_cluster_has_not_is_found_with_a_fix(tmp_path: Path, own: str, topic: str, fix: str):
    profile = tmp_path / "config.yaml"
    profile.write_text(f"set-resources:\n  train:\n    backend: slurm\n    {own}\n")
    finding = by_topic(list(check_slurm(profile, 1.0, with_job=False)))[topic]
    assert finding.level == ERROR, finding
    assert fix in finding.fix
