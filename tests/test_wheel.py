"""The wheel: what is in it, and that it works in an empty folder where no clone can be imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vclr.config import load_config
from vclr.finding import LEVELS, OK
from vclr.models.build import build_model
from vclr.pictures import write_png

ROOT = Path(__file__).parents[1]
NOT_IN_IT = {"configs/workflow.yaml", "configs/README.md"}  # of the workflow, which needs a clone


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that git knows, as a fresh clone of them would be."""
    folder = tmp_path_factory.mktemp("clone") / "vclr"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if name.startswith(("vclr/", "configs/", "tests/test_w")) or "/" not in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    """The wheel that pip makes of the sources."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "."]
    subprocess.run([*command, "--wheel-dir", str(sources.parent)], cwd=sources, check=True)
    (made,) = sources.parent.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def run_from_wheel(wheel: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the `vclr` of the unpacked wheel in a folder, with no clone on Python's path."""
    unpacked = wheel.with_name("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Python puts PYTHONPATH before the editable installation of the clone.
        environment = {**os.environ, "PYTHONPATH": str(unpacked), "OMP_NUM_THREADS": "1"}
        code = f"import vclr; assert vclr.__file__.startswith({str(unpacked)!r}); from vclr.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )

    return run


def names_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_wheel_has_the_whole_package_and_nothing_else(wheel: Path, sources: Path):
    files = {path.relative_to(sources).as_posix() for path in (sources / "vclr").rglob("*") if path.is_file()}
    files |= {f"vclr/configs/{path.relative_to(sources / 'configs')}" for path in sources.glob("configs/**/*.*")}
    expected = files - {f"vclr/{name}" for name in NOT_IN_IT} - {"vclr/configs"}
    found = {name for name in names_of(wheel) if ".dist-info/" not in name}
    assert found == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names_of(wheel))
    assert wheel.stat().st_size < 2 << 20


@pytest.mark.slow
def test_source_distribution_gives_the_same_wheel(wheel: Path, sources: Path, tmp_path: Path):
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=sources, check=True, capture_output=True)
    (packed,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert {path.name for path in folder.iterdir()} == {
        *("vclr", "vclr.egg-info", "PKG-INFO", "LICENSE", "MANIFEST.in", "README.md", "constraints.txt"),
        *("pyproject.toml", "setup.cfg"),
    }
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", str(folder)]
    subprocess.run([*command, "--wheel-dir", str(tmp_path)], cwd=tmp_path, check=True)
    (again,) = tmp_path.glob("*.whl")
    assert names_of(again) == names_of(wheel)


@pytest.mark.slow
def test_wheel_helps_and_checks_itself_in_an_empty_folder(run_from_wheel, tmp_path: Path):
    done = run_from_wheel(tmp_path, "--help")
    assert "predict" in done.stdout, done.stderr
    done = run_from_wheel(tmp_path, "doctor", "--json")
    report = json.loads(done.stdout)
    assert report["usable"] is (done.returncode == 0), done.stderr
    assert {"Python", "packages", "torch", "memory", "disk", "folders", "extras"} <= {
        finding["topic"] for finding in report["findings"]
    }
    for finding in report["findings"]:
        assert finding["level"] in LEVELS
        assert finding["fix"] or finding["level"] == OK, finding
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_wheel_predicts_and_knows_the_experiments_in_an_empty_folder(run_from_wheel, tmp_path: Path):
    config = load_config(ROOT / "configs/small_detector.yaml")
    torch.save({"model": build_model(config).state_dict()}, tmp_path / "weights.pth")
    write_png(tmp_path / "photo.png", torch.randint(0, 255, (64, 80, 3), dtype=torch.uint8).numpy())
    arguments = ["--checkpoint", "weights.pth", "--config-file", "configs/small_detector.yaml", "--output", "found"]
    done = run_from_wheel(tmp_path, "predict", *arguments, "photo.png")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads((tmp_path / "found/photo.json").read_text()), list)
    done = run_from_wheel(tmp_path, "licenses", "--config-file", "configs/experiment/voc_to_nonvoc.yaml")
    assert "commercial use" in done.stdout, done.stderr
    done = run_from_wheel(tmp_path, "train", "--config-file", "configs/experiment/no.yaml")
    assert done.returncode == 2
    assert "configs/experiment/no.yaml: does not exist" in done.stderr
