"""Mixed precision where sums of many values have to stay exact."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.checks import assert_sound
from tests.cuda.start import Programs


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_statistics_of_batch_norm_are_float32(dtype: str, on_gpu: Programs):
    found = on_gpu("norm", dtype=dtype)
    assert_sound(found["notes"])
    np.testing.assert_allclose(found["mean"], found["exact_mean"], rtol=1e-5)
    np.testing.assert_allclose(found["variance"], found["exact_variance"], rtol=1e-5)
