"""The hash of code covers what the code imports, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vclr import code_hash
from vclr.code_hash import hash_code, list_modules


def test_all_that_is_loaded_is_listed():
    code = "import sys, vclr.object_proposals.graph; print(*(name for name in sys.modules if name.startswith('vclr.')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    packages = {"vclr.catalog", "vclr.object_proposals"}  # no code
    always = {"vclr.processes"}  # what `vclr/__init__.py` imports
    assert {*loaded} - packages - always == {*list_modules("vclr.object_proposals.graph")}


def test_what_is_imported_in_a_function_or_by_an_import_is_listed():
    listed = list_modules("vclr.evaluation.detector_proposals")
    assert {"vclr.models.detector", "vclr.evaluation.inference", "vclr.config"} <= {*listed}
    assert "vclr.object_proposals.maskcut" not in listed


def test_only_what_is_imported_changes_the_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(code_hash.PACKAGE, tmp_path / "vclr", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_hash, "PACKAGE", tmp_path / "vclr")

    def hash_now() -> str:
        hash_code.cache_clear()
        return hash_code("vclr.object_proposals.maskcut")

    before = hash_now()
    for name, changes in (("normalized_cut", True), ("affinity", True), ("sam", False)):
        with open(tmp_path / "vclr" / "object_proposals" / f"{name}.py", "a", encoding="utf-8") as file:
            file.write("# another\n")
        after = hash_now()
        assert (after != before) == changes, name
        before = after
    hash_code.cache_clear()
