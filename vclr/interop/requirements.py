"""What is said if detectron2 or detrex is not installed: the one command of its authors that builds it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from vclr.detectron2_package import INSTALL
from vclr.errors import UserError, first_line

BUILD = {
    "fvcore": "pip install fvcore",
    "detectron2": INSTALL,
    "detrex": "pip install --no-build-isolation 'git+https://github.com/IDEA-Research/detrex.git'",
}


def need(module: str) -> ModuleType:
    """Import a module of detectron2 or detrex.

    Raises:
        UserError: the package is not installed, or cannot be imported; says how to build it.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise UserError(f"{package} is not installed: {BUILD[package]} (see docs/detectron2.md)") from None
        raise UserError(f"{package} cannot be imported: it lacks {error.name} (see docs/detectron2.md)") from None
    except (ImportError, RuntimeError, AttributeError, OSError) as error:  # built for another torch, NumPy or CUDA
        raise UserError(f"{package} cannot be imported: {first_line(error)} (see docs/detectron2.md)") from None
