"""detectron2 and detrex, where they are installed: data sets, the detector, settings and weights in their forms.

The names below are imported on first use. Nothing here imports detectron2 before it is needed.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "register": "vclr.interop.data_sets",
    "add_settings": "vclr.interop.meta_architecture",
    "VclrDetector": "vclr.interop.meta_architecture",
    "TrainMapper": "vclr.interop.mappers",
    "TestMapper": "vclr.interop.mappers",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vclr.interop' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
