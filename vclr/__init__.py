"""vclr: view-consistent learning for open-world instance segmentation, as whole experiments.

The names below are the package's Python interface. They are imported on first use: reading a configuration takes no
torch.
"""

from importlib import import_module
from typing import Any

from vclr.processes import limit_spinning

limit_spinning()  # here, since whatever is imported from the package comes after this file

__version__ = "0.1.0"

_HOMES = {
    "Config": "vclr.config",
    "load_config": "vclr.config",
    "build_model": "vclr.models.build",
    "load_weights": "vclr.models.weights",
    "predict": "vclr.evaluation.inference",
    "score": "vclr.evaluation.recall",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vclr' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
