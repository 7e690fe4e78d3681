"""Compile guard.cpp against the installed torch, once for each of its versions."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("guard.cpp")
# Where it has to compile. The interfaces that it implements change from one release of torch to the next.
KNOWN_TORCH = "2.13."


class CannotBuildError(Exception):
    """Say why there is no pretended GPU here; the text is the reason of a skip."""


def build() -> Path:
    """Return the compiled library, from a folder of the system for temporary files. Does not import torch.

    Raises:
        CannotBuildError: there is no compiler, or none that builds it with this version of torch.
        RuntimeError: it should compile with this version of torch, and does not.
    """
    torch, version = _find_torch(), importlib.metadata.version("torch")
    key = hashlib.sha256(SOURCE.read_bytes() + f"{version} {torch} {sys.version}".encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"vclr-pretended-gpu-{key}.so"
    if library.exists():
        return library
    if shutil.which("g++") is None:
        raise CannotBuildError("needs a C++ compiler: g++ is not there")
    partial = Path(tempfile.mkdtemp()) / library.name
    includes = [f"-I{torch}/include", f"-I{sysconfig.get_paths()['include']}"]
    libraries = [f"-L{torch}/lib", f"-Wl,-rpath,{torch}/lib", "-lc10", "-ltorch_cpu"]
    command = ["g++", "-O0", "-shared", "-fPIC", "-std=c++20", *includes, str(SOURCE), "-o", str(partial), *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and version.startswith(KNOWN_TORCH):
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr}")
    if done.returncode:
        raise CannotBuildError(
            f"needs a C++ compiler and a torch that {SOURCE.name} was written for; this is {version}"
        )
    shutil.move(partial, library)
    return library


def load(library: Path) -> None:
    """Load the library. What it registers counts only if torch has not asked for CUDA yet."""
    assert "torch" not in sys.modules, "the pretended GPU is loaded before torch is imported"
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def _find_torch() -> Path:
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent
