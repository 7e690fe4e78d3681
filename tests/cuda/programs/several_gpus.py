"""A detector on a machine of several GPUs."""

from __future__ import annotations

import warnings
from typing import Any

from tests.cuda.machine import Machine
from vclr.config import load_config
from vclr.models.build import build_model


def main(machine: Machine) -> dict[str, Any]:
    """Build a detector; return the warnings, and the GPUs that were used for it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_model(load_config("configs/small_detector.yaml"))
    return {"warnings": [str(warning.message) for warning in caught], "touched": sorted(machine.touched)}
