"""What must hold of everything that runs on a GPU."""

from __future__ import annotations

from typing import Any

# The host waits so often in a step, however many sizes its images have.
MAX_WAITS = 12


def assert_sound(notes: dict[str, dict[str, int]]) -> None:
    """Assert that no operation mixed devices, and that nothing was used before it was there."""
    assert not notes["mixes"]
    assert not notes["races"]


def num_waits(notes: dict[str, Any]) -> int:
    return sum(notes["waits"].values())


def num_kernels(notes: dict[str, Any]) -> int:
    return sum(notes["kernels"].values())
