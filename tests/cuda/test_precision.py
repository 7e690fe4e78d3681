"""Mixed precision where sums of many values have to stay exact."""

from __future__ import annotations

import numpy as np

from tests.cuda.checks import assert_sound
from tests.cuda.start import Programs


def test_statistics_of_batch_norm_are_float32(on_gpu: Programs):
    for found in on_gpu("norm", dtypes=["bfloat16", "float16"]):
        assert_sound(found["notes"])
        np.testing.assert_allclose(found["mean"], found["exact_mean"], rtol=1e-5)
        np.testing.assert_allclose(found["variance"], found["exact_variance"], rtol=1e-5)
