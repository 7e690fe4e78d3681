"""The container and the conda environment of the workflow, with programs that stand in for their engines.

They say what they were asked, and run it as it is: no container engine and no conda are there in tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from vclr.generate.toy import write_toy_world

SPLIT = "data/splits/toy_train_toy_known.json"
APPTAINER = """#!/bin/sh
if [ "$1" = --version ]; then echo "apptainer version 1.3.6"; exit; fi
echo "$@" >> "$ASKED"
while [ "$1" != sh ] && [ "$1" != bash ]; do shift; done
exec "$@"
"""
CONDA = """#!/bin/sh
echo "$VCLR_ROOT $*" >> "$ASKED"
case "$2" in
list) echo "{\\"envs\\": [$(for one in "$ENVS"/*/; do printf '%s"%s"' "$comma" "${one%/}"; comma=,; done)]}" ;;
create) mkdir -p "$ENVS/$4/bin"; cp "$6" "$ENVS/$4/environment.yaml" ;;
esac
"""


@pytest.fixture
def asked(checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of what the engines were asked, and the engines in PATH."""
    for name, script in (("apptainer", APPTAINER), ("conda", CONDA), ("mamba", CONDA)):
        program = tmp_path / "engines" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)
    (tmp_path / "envs/base").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{tmp_path}/engines", prepend=":")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setenv("ENVS", str(tmp_path / "envs"))
    monkeypatch.delenv("VCLR_ROOT", raising=False)
    return tmp_path / "asked"


@pytest.mark.slow
def test_rules_run_in_the_container_only_if_asked(checkout, asked: Path):
    write_toy_world(checkout.folder / "data", num_train=2, num_val=2, size=64, quiet=True)
    checkout.run("snakemake", SPLIT, "--cores", "1")
    assert not asked.exists()
    shown = checkout.run(
        "snakemake", SPLIT, "--cores", "1", "--forcerun", "split", "--software-deployment-method", "apptainer"
    )
    (line,) = asked.read_text(encoding="utf-8").splitlines()
    assert f" {checkout.folder}/container/vclr.sif " in line, shown
    assert "vclr split" in line
    assert json.loads((checkout.folder / SPLIT).read_text(encoding="utf-8"))["images"]
    assert "Nothing to be done" in checkout.run(
        "snakemake", SPLIT, "--cores", "1", "--rerun-triggers", "mtime", "params", "input", "code"
    )


@pytest.mark.slow
def test_conda_makes_the_environment_once_from_the_clone(checkout, asked: Path, tmp_path: Path):
    for _ in range(2):
        checkout.plan("demo", "--software-deployment-method", "conda")
    lines = asked.read_text(encoding="utf-8").splitlines()
    (creation,) = [line for line in lines if " env create " in line]
    assert creation.startswith(f"{checkout.folder} ")
    (made,) = tmp_path.glob("envs/conda-inject-*/environment.yaml")
    source = yaml.safe_load((checkout.folder / "workflow/envs/vclr.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(made.read_text(encoding="utf-8"))["dependencies"][:-1] == source["dependencies"]
