"""Commands of `vclr` in this process, where the pretended GPU is."""

from __future__ import annotations

from typing import Any

from tests.cuda.machine import Machine
from vclr.cli import app
from vclr.errors import explain


def main(machine: Machine, arguments: list[str]) -> dict[str, Any]:
    """Return the line with which a command failed, empty where it did not; its notes; and the GPUs that it used."""
    failure = ""
    try:
        app(arguments, standalone_mode=False)
    except Exception as error:
        explanation = explain(error)
        if explanation is None:
            raise
        failure = explanation[0]
    return {"failure": failure, "notes": machine.notes.take(), "touched": sorted(machine.touched)}
