"""A fresh Debian with python3, python3-venv, make and git: the demo, `pip install .`, and the container recipe.

Made small as in tests/test_readme_commands.py: short trainings on few scenes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.container.debian import CACHE, USER, Debian
from tests.container.recipes import build

ROOT = Path(__file__).parents[2]
ITERATIONS = 20
CHECKPOINT = "/home/user/vclr/runs/demo/seed0/checkpoints/last.pt"
PHOTO = "/home/user/vclr/data/raw/toy/images/val_00001.png"


def shrink(clone: Path) -> None:
    """Make trainings short, scenes few, and their pictures small for the detector."""
    settings, scenes = "configs/small_detector.yaml", "vclr/generate/toy.py"
    edits = [
        (settings, "max_iter: 900", f"max_iter: {ITERATIONS}"),
        (settings, "total_batch_size: 8", "total_batch_size: 2"),
        (settings, "short_edge_length: [128]", "short_edge_length: [64]"),
        (settings, "short_edge_length: 128", "short_edge_length: 64"),
        (scenes, "num_train: int = 600, num_val: int = 150", "num_train: int = 24, num_val: int = 6"),
    ]
    for name, before, after in edits:
        text = (clone / name).read_text(encoding="utf-8")
        assert before in text, f"{name} has no {before!r}"
        (clone / name).write_text(text.replace(before, after), encoding="utf-8")


def give_to_recipe(debian: Debian, environment: str) -> None:
    """Let the recipe find its environment with all packages in it but torch and vclr, which it chooses and installs.

    They are those that pip installed a moment before for the same requirements: a second time takes minutes.
    """
    debian.run(
        f"mv {environment} /opt/vclr && chown -R 0:0 /opt/vclr"
        " && /opt/vclr/bin/python -m pip uninstall --quiet --yes torch vclr",
        "/",
        as_root=True,
    )


def use_vclr(debian: Debian, command: str, folder: str) -> None:
    """Ask a `vclr` for help, for its health and for the objects of a photo, in an empty folder of the user."""
    (debian.root / folder.lstrip("/")).mkdir()
    os.chown(debian.root / folder.lstrip("/"), USER, USER)
    assert "predict" in debian.run(f"{command} --help", folder)
    report = debian.run(f"{command} doctor", folder)
    assert "is ready (0 errors" in report, report
    assert re.search(r"^ok +torch: ", report, flags=re.MULTILINE)
    debian.run(f"{command} predict --checkpoint {CHECKPOINT} --output found {PHOTO}", folder)
    assert isinstance(json.loads((debian.root / folder.lstrip("/") / "found/val_00001.json").read_text()), list)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_demo_and_installations_on_a_fresh_debian(tmp_path: Path):
    debian = Debian(tmp_path / "debian")
    try:
        clone = debian.clone(ROOT, "/home/user/vclr")
        shrink(clone)
        output = debian.run("make demo", "/home/user/vclr", seconds=2400)
        assert "results/demo/report.html" in output
        assert (clone / "results/demo/report.html").stat().st_size > 10_000
        assert (clone / "runs/demo/seed0/DONE").read_text() == f"{ITERATIONS}\n"

        # pip alone: the versions that the demo was tested with, by an environment variable of pip's.
        shutil.rmtree(clone / ".venv")
        constraints = f"{debian.pip.get('PIP_CONSTRAINT', '')} /home/user/vclr/constraints.txt".strip()
        install = f"PIP_CONSTRAINT={shlex.quote(constraints)} /home/user/venv/bin/pip install --quiet --no-compile ."
        debian.run(f"python3 -m venv /home/user/venv && {install}", "/home/user/vclr")
        use_vclr(debian, "/home/user/venv/bin/vclr", "/home/user/elsewhere")

        give_to_recipe(debian, "/home/user/venv")
        sections = build(debian, clone, {"TORCH": "cpu"})
        about = debian.run("/opt/vclr/bin/python -c 'import torch; print(torch.__version__, torch.version.cuda)'", "/")
        assert about.endswith("+cpu None\n")
        environment = " ".join(re.findall(r"export (\S+)", sections["environment"]))
        use_vclr(debian, f"env {environment} sh -c {shlex.quote(sections['runscript'])} vclr", "/home/user/contained")
    finally:
        shutil.rmtree(debian.root / CACHE[1:], ignore_errors=True)
        shutil.rmtree(debian.root, ignore_errors=True)  # gigabytes
