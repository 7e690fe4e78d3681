"""vclr: an experiment platform for view-consistent learning in open-world instance segmentation.

The names below are the package's Python interface. They are imported on first use, so that reading a configuration
does not import torch.
"""

from importlib import import_module
from typing import Any

from vclr.processes import limit_spinning

limit_spinning()  # here, because every import from the package runs this file first

__version__ = "0.1.0"

_HOMES = {
    "Config": "vclr.config",
    "load_config": "vclr.config",
    "build_model": "vclr.models.build",
    "load_weights": "vclr.models.weights",
    "predict": "vclr.evaluation.inference",
    "open_detector": "vclr.models.ready",
    "train": "vclr.engine.train_call",
    "score": "vclr.evaluation.recall",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vclr' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
