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
    "step in float16": ("step", {**SMALL, "batch": 2, "dtype": "float16", "micro_batch": 1}),
    "inference": ("inference", SMALL),
    "inference in bfloat16": ("inference", {**SMALL, "dtype": "bfloat16"}),
    "attention": ("attention", {}),
    "attention in bfloat16": ("attention", {"dtype": "bfloat16"}),
}


@pytest.mark.slow
def test_every_benchmark_runs(on_gpu: Programs):
    for case, result in on_gpu("bench", cases=CASES).items():
        assert result["figures"]["device"] == "cuda:0", case
        assert len(result["figures"]["seconds"]) == 1, case
        assert_sound(result["notes"])
