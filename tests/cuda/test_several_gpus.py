"""A machine with several GPUs, of which a process uses one."""

from __future__ import annotations

from tests.cuda.start import Programs


def test_building_a_detector_touches_no_gpu(on_gpu: Programs):
    """Torch warns when the generators of several GPUs are kept and put back."""
    found = on_gpu("several_gpus", num_devices=2)
    assert found == {"warnings": [], "touched": []}
