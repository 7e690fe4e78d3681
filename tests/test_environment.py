"""The environment is described inside and outside a repository."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from vclr import environment, nvml
from vclr.device import float32_precision
from vclr.environment import describe_environment


@pytest.fixture
def package_outside_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that the package is in a folder outside of any repository."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setattr(environment, "__file__", str(folder / "environment.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(folder)
    return folder


def test_description_is_json_and_true():
    description = describe_environment()
    assert json.loads(json.dumps(description)) == description
    assert description["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert description["cpu_cores"] >= 1
    assert description["memory_gib"] > 0
    assert len(description["gpus"]) == torch.cuda.device_count()


def test_the_device_is_described_as_it_is_set_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nvml, "driver_version", lambda: "570.1")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    for tf32 in (True, False):
        with float32_precision(tf32):
            on_gpu, on_cpu = (describe_environment(torch.device(name)) for name in ("cuda:1", "cpu"))
        keys = ("device", "driver", "cuda", "cudnn", "tf32")
        assert [on_gpu[key] for key in keys] == ["cuda:1", "570.1", "12.8", 91002, tf32]
        assert (on_cpu["device"], on_cpu["tf32"]) == ("cpu", None)
        assert json.loads(json.dumps(on_gpu)) == on_gpu


def test_outside_git(package_outside_git: Path):
    description = describe_environment()
    assert description["git_revision"] is None
    assert description["git_dirty"] is None


def test_revision_and_dirty_flag(package_outside_git: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    repository = tmp_path / "repository"
    repository.mkdir()
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]

    def git(*arguments: str) -> str:
        command = ["git", *identity, "-C", str(repository), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    (repository / "code.py").write_text("a = 1\n")
    git("add", "code.py")
    git("commit", "-m", "first")
    monkeypatch.chdir(repository)
    description = describe_environment()
    assert description["git_revision"] == git("rev-parse", "HEAD")
    assert description["git_dirty"] is False
    (repository / "code.py").write_text("a = 2\n")
    assert describe_environment()["git_dirty"] is True
