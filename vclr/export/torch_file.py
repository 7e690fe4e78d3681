"""Exported models as programs of torch: those of torch.export, and those that AOTInductor compiles."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from vclr.catalog.exports import EXPORT_OUTPUTS
from vclr.errors import UserError, first_line
from vclr.export.about import EXTRA_FILE, About
from vclr.export.packages import quiet_exporters

COMPILERS = ("c++", "g++", "clang++")


def write_torch(program: ExportedProgram, path: Path) -> None:
    """Write a program that `torch.export.load` reads. Torch asks for the ending .pt2."""
    with quiet_exporters():
        torch.export.save(program, path)


def write_compiled(program: ExportedProgram, path: Path) -> None:
    """Compile a program for this device and write it; `torch._inductor.aoti_load_package` reads it.

    Raises:
        UserError: this machine has no C++ compiler, or it fails.
    """
    if not any(map(shutil.which, COMPILERS)):
        raise UserError("--format aot: needs a C++ compiler, for example the package g++; or use --format torch")
    with quiet_exporters():
        try:
            torch._inductor.aoti_compile_and_package(program, package_path=str(path))
        except Exception as error:  # of the compiler, of torch's own compilers
            raise UserError(f"--format aot: the program cannot be compiled: {first_line(error)}") from error


def describe_torch(path: Path, about: About) -> None:
    """Store the description in a file, which is a zip, beside the files of torch."""
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/extra/{EXTRA_FILE}", json.dumps(about.as_json()))


def read_about(path: Path) -> About | None:
    """Return the description of a file; None if `vclr export` did not write it."""
    with zipfile.ZipFile(path) as archive:
        own = [name for name in archive.namelist() if name.endswith(f"/extra/{EXTRA_FILE}")]
        return About.from_json(json.loads(archive.read(own[0]))) if own else None


class TorchModel:
    """A program of torch, on the device that it was exported for."""

    def __init__(self, path: Path, about: About) -> None:
        """Load a file, whose ending must be .pt2."""
        self._names, self._device = EXPORT_OUTPUTS[about.processing], about.device
        self._run: Any
        with quiet_exporters():
            if about.format == "aot":
                self._run = torch._inductor.aoti_load_package(str(path))
            else:
                self._run = torch.export.load(path).module()

    @torch.no_grad()
    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name."""
        outputs = self._run(torch.from_numpy(images).to(self._device))
        return {name: output.cpu().numpy() for name, output in zip(self._names, outputs, strict=True)}
