"""The pretended GPU notices what CUDA would object to or wait for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cuda.start import Programs


@pytest.fixture(scope="module")
def cases(on_gpu: Programs) -> dict[str, Any]:
    return on_gpu("instrument", num_devices=2)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("add_a_cpu_tensor", "same device"),
        ("write_a_gpu_tensor_into_one_of_the_cpu", "same device"),
        ("two_gpus", "two GPUs"),
        ("draw_with_a_generator_of_the_cpu", "Expected a 'cuda' device type for generator"),
        ("draw_with_a_generator_of_the_gpu", "Expected a 'cpu' device type for generator"),
        ("read_an_array", "can't convert"),
    ],
)
def test_mixes_are_errors(case: str, message: str, cases: dict[str, Any]):
    assert message in cases[case]["error"]


@pytest.mark.parametrize(
    ("case", "num_waits"),
    [
        ("add_a_number_of_the_cpu", 1),  # to read the sum
        ("read_a_number", 1),
        ("ask_where", 1),
        ("choose_by_a_mask", 1),
        ("choose_by_indices_of_the_cpu", 1),
        ("make_a_tensor_of_numbers", 1),
        ("send_pinned", 0),
        ("send_little_that_is_not_pinned", 0),
        ("send_much_that_is_not_pinned", 1),
        ("read_too_early", 0),
        ("read_after_an_event", 1),
        ("use_on_another_stream_after_it", 0),
    ],
)
def test_waits_are_counted(case: str, num_waits: int, cases: dict[str, Any]):
    assert not cases[case]["error"]
    assert sum(cases[case]["notes"]["waits"].values()) == num_waits


def test_what_is_on_its_way_to_the_host_is_nonsense(cases: dict[str, Any]):
    assert cases["read_after_an_event"]["value"] == [1.0, 1.0]
    for case in ("read_too_early", "read_after_an_event_before_the_copy"):
        first, second = cases[case]["value"]
        assert first != first and second != second


def test_another_stream_has_to_wait(cases: dict[str, Any]):
    assert cases["use_on_another_stream"]["notes"]["races"]
    assert not cases["use_on_another_stream_after_it"]["notes"]["races"]


def test_precisions_are_those_of_cuda(cases: dict[str, Any]):
    assert cases["mix_precisions"]["value"] == ["torch.bfloat16", "torch.float32", "torch.float32"]
