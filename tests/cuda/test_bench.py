"""`vclr bench` on a GPU."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cuda.checks import assert_sound
from tests.cuda.start import Programs

SMALL: dict[str, Any] = {"queries": 20, "config_file": "configs/small_detector.yaml"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "step": ("step", {**SMALL, "batch": 2}),
    "step in bfloat16": ("step", {**SMALL, "batch": 2, "dtype": "bfloat16", "checkpoint": True}),
    "step in float16": ("step", {**SMALL, "dtype": "float16", "micro_batch": 1, "batch": 2}),
    "inference": ("inference", SMALL),
    "inference in bfloat16": ("inference", {**SMALL, "dtype": "bfloat16"}),
    "attention": ("attention", {}),
    "attention in bfloat16": ("attention", {"dtype": "bfloat16"}),
}
FAST = {"step in bfloat16", "inference in bfloat16", "attention"}


@pytest.mark.parametrize(
    "case", [case if case in FAST else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_bench(case: str, on_gpu: Programs):
    name, options = CASES[case]
    figures = on_gpu("bench", name=name, **options)
    assert figures["device"] == "cuda:0"
    assert len(figures["seconds"]) == 1
    assert_sound(figures["notes"])
