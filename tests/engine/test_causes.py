"""What processes tell each other of failures: the first cause, to all, and once to the user of each machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from torch.distributed import TCPStore

from vclr.engine import causes
from vclr.engine.causes import Causes
from vclr.engine.launched import Place

Join = Callable[..., Causes]
NOT_OVER = 30.0  # seconds


@pytest.fixture
def join(monkeypatch: pytest.MonkeyPatch) -> Iterator[Join]:
    """Return what lets a process of three join, in a thread's stead: ranks 0 and 1 on node1, rank 2 on node2."""
    store = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    monkeypatch.setattr(causes, "STUCK_SECONDS", 0.2)
    joined = []

    def join(rank: int, when_stuck: Callable[[str], None] = lambda _: None) -> Causes:
        monkeypatch.setattr(causes.platform, "node", lambda: "node2" if rank == 2 else "node1")
        joined.append(Causes(Place(rank, 3, rank, 3), when_stuck))
        return joined[-1]

    yield join
    for process in joined:
        process.stop()


def test_all_find_the_first_cause_and_one_on_each_machine_says_it(join: Join):
    first, second, third = (join(rank) for rank in range(3))
    assert first.find(0.0) == ""
    second.report(f"{second.name}: out of memory")
    first.report("a consequence")
    assert [process.find(1.0) for process in (first, second, third)] == ["process 1 on node1: out of memory"] * 3
    assert [process.may_say() for process in (first, second, third)] == [False, True, True]


def test_the_first_process_stays_until_all_have_heard(join: Join, monkeypatch: pytest.MonkeyPatch):
    """The store is part of it."""
    monkeypatch.setattr(causes, "LISTEN_SECONDS", NOT_OVER)  # nobody hears by chance
    first, second, third = (join(rank) for rank in range(3))
    reporting = threading.Thread(target=first.report, args=["a defect"])
    reporting.start()
    assert second.find(1.0) == "a defect"
    time.sleep(0.3)
    assert reporting.is_alive(), "the third has not heard"
    third.stop()  # it leaves for another reason
    reporting.join(1.0)
    assert not reporting.is_alive()


def test_the_first_process_does_not_wait_forever(join: Join, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(causes, "HEAR_SECONDS", 0.3)
    before = time.monotonic()
    join(0).report("a defect")
    assert 0.3 <= time.monotonic() - before < 3


def test_a_process_that_does_not_leave_is_ended(join: Join):
    stuck, has_ended = [], threading.Event()

    def end(cause: str) -> None:
        stuck.append(cause)
        has_ended.set()

    second, _ = join(1), join(2, end)
    is_leaving = join(0, lambda cause: stuck.append("the one that leaves"))
    second.report("a defect")
    is_leaving.stop()
    assert has_ended.wait(5.0)
    assert stuck == ["a defect"]


def test_processes_that_torchrun_starts_again_know_nothing_of_before(join: Join, monkeypatch: pytest.MonkeyPatch):
    join(1).report("a defect")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    again = join(1)
    assert again.find(0.0) == ""
    assert again.may_say()
