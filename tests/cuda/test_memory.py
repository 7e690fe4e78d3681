"""A step for which memory did not suffice is taken again, with all of its memory free."""

from __future__ import annotations

import pytest

from tests.cuda.checks import assert_sound
from tests.cuda.start import Programs

# Of the operations of losses and gradients: where student and teacher look, in the losses, and in the backward pass.
SHARES = [0.2, 0.6, 0.95]
ON_A_GPU, ON_A_CPU = True, False


@pytest.mark.parametrize(
    ("dtype", "has_engine_thread"),
    [
        ("bfloat16", ON_A_GPU),
        pytest.param("bfloat16", ON_A_CPU, marks=pytest.mark.slow),
        pytest.param("float32", ON_A_GPU, marks=pytest.mark.slow),
        pytest.param("float32", ON_A_CPU, marks=pytest.mark.slow),
    ],
)
def test_the_failed_attempt_leaves_nothing(dtype: str, has_engine_thread: bool, on_gpu: Programs):
    """A GPU's thread of the engine drops what is left of a backward pass; on a CPU it stays until the next one."""
    found = on_gpu("out_of_memory", dtype=dtype, shares=SHARES, has_engine_thread=has_engine_thread)
    assert_sound(found["notes"])
    for result in found["results"]:
        first, again = result["attempts"]
        assert first == pytest.approx(result["between"], rel=0.1), result
        assert again == pytest.approx(result["between"], rel=0.1), result
