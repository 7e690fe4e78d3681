"""A folder in which detectron2 imports beside vclr: built once from what PyPI has, and kept for all later tests.

`python -m tests.interop.detectron2_build` builds it and prints its path. `VCLR_DETECTRON2` names another one instead,
for example with the newest snapshots of detectron2 and detrex; then nothing is built.

PyPI has detectron2 0.6 as source (`pb1-detectron2`), without the C++ files: nothing is compiled, and what needs them
(rotated boxes, deformable convolutions of ResNets) is missing. It is of 2021, so a few names that NumPy and Pillow have
dropped since are replaced. The torchvision of PyPI is linked to CUDA; beside a torch without CUDA its operators do not
load, and those of `torchvision_operators.py` take their place.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

import torch

from vclr.file_lock import lock_file

SOURCE = "pb1-detectron2==0.6"
# What detectron2 imports and vclr does not bring; `pkg_resources` left setuptools with version 82.
BESIDE = ["fvcore==0.1.5.post20221221", "iopath==0.1.10", "portalocker==4.4.2", "termcolor==3.3.0", "yacs==0.1.8"]
BESIDE += ["setuptools==81.0.0", "tensorboard==2.21.0", "tensorboard-data-server==0.7.2", "absl-py==2.5.1"]
BESIDE += ["grpcio==1.85.3", "Markdown==3.11.3"]
TORCHVISION = {"2.13": "torchvision==0.28.0"}  # by the version of torch that it is made for

REPLACED = [
    (re.compile(r"\bnp\.(bool|int|float|object|str)\b"), r"\1"),
    (re.compile(r"\bImage\.LINEAR\b"), "Image.BILINEAR"),
    (re.compile(r"^from detectron2 import _C$", re.M), "_C = None"),
    # What newer versions do where nothing is compiled.
    (
        re.compile(r"^from detectron2\.evaluation\.fast_eval_api import COCOeval_opt$", re.M),
        "from pycocotools.cocoeval import COCOeval as COCOeval_opt",
    ),
]

# What is appended to files of a torchvision whose operators do not load.
APPENDED = {
    "extension.py": """
if not _has_ops():
    from vclr_operators import define_nms

    _operators = define_nms()

    def _assert_has_ops():
        pass
""",
    "ops/roi_align.py": """
_own_roi_align = _roi_align  # too large for real pictures
from vclr_operators import roi_align as _roi_align
""",
}


class CannotBuildError(Exception):
    """Why there is no detectron2 here, in one line."""


@cache
def build() -> Path:
    """Return the folder for PYTHONPATH, which is built at the first call on a machine.

    Raises:
        CannotBuildError: the package index cannot be reached, or has no packages for this Python and torch.
    """
    if given := os.environ.get("VCLR_DETECTRON2"):
        return Path(given)
    version = torch.__version__.split("+")[0]
    files = Path(__file__), Path(__file__).with_name("torchvision_operators.py")
    recipe = hashlib.sha256(b"".join(file.read_bytes() for file in files) + sys.version.encode()).hexdigest()[:8]
    cache_root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vclr-tests"
    folder = cache_root / f"detectron2-torch-{version}-{recipe}"
    cache_root.mkdir(parents=True, exist_ok=True)
    with lock_file(cache_root / "detectron2.lock", "another process has been building detectron2 for ten minutes", 600):
        if not folder.is_dir():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            _build(partial, ".".join(version.split(".")[:2]))
            partial.rename(folder)
    return folder


def _build(folder: Path, torch_version: str) -> None:
    if torch_version not in TORCHVISION:
        raise CannotBuildError(f"no torchvision is named for torch {torch_version}")
    source = folder / "source"
    _pip("download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", str(source), SOURCE)
    _pip("install", "--no-deps", "--target", str(folder), *BESIDE, TORCHVISION[torch_version])
    archive = next(source.glob("*.tar.gz"))
    with tarfile.open(archive) as file:
        file.extractall(source, filter="data")
    shutil.move(str(archive.with_suffix("").with_suffix("") / "detectron2"), str(folder / "detectron2"))
    shutil.rmtree(source)
    for path in (folder / "detectron2").rglob("*.py"):
        text = replaced = path.read_text(encoding="utf-8")
        for pattern, replacement in REPLACED:
            replaced = pattern.sub(replacement, replaced)
        if replaced != text:
            path.write_text(replaced, encoding="utf-8")
    shutil.copy(Path(__file__).with_name("torchvision_operators.py"), folder / "vclr_operators.py")
    for name, text in APPENDED.items():
        with (folder / "torchvision" / name).open("a", encoding="utf-8") as file:
            file.write(text)


def _pip(*arguments: str) -> None:
    # setup.py of detectron2 asks for the installed torch.
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        says = [line for line in ended.stderr.splitlines() if line.strip()]
        raise CannotBuildError(f"pip {arguments[0]} failed: {says[-1] if says else ended.returncode}")


def environment() -> dict[str, str]:
    """Return the environment of a process that imports detectron2 from there, and vclr from here."""
    here = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(build())]), "OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    print(build())
