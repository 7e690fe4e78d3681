"""What tests share: a small toy world; and with VCLR_NO_SKIP=1, as in CI, a skipped test fails the session."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.splits.made import write_split
from vclr.config import Config, load_config
from vclr.generate.toy import write_toy_world

DEMO = Path(__file__).parents[1] / "configs" / "experiment" / "demo.yaml"

# A skip whose reason starts with one of these is right where the thing is absent.
ALLOWED_SKIPS = ("needs a GPU", "needs VCLR_SHARED", "needs a C++ compiler", "needs a SLURM cluster")
ALLOWED_SKIPS += ("needs transformers",)  # which has left Python 3.10 behind
ALLOWED_SKIPS += ("detectron2 cannot be built",)

skipped: dict[str, str] = {}


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the one SLURM cluster, for `make test-slow`; files that may take longest come first.

    Two files run at a time: begun last, a file of five minutes would run alone.
    """
    longest: dict[Path, float] = {}  # seconds that a test of the file may take
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
        timeout = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0), timeout.args[0] if timeout and timeout.args else 0)
    items.sort(key=lambda item: -longest[item.path])  # a stable sort: the tests of a file stay together


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        skipped[report.nodeid] = reason.removeprefix("Skipped: ")


pytest_runtest_logreport = _note_skip
pytest_collectreport = _note_skip


def _forbidden_skips() -> dict[str, str]:
    if os.environ.get("VCLR_NO_SKIP") != "1":
        return {}
    return {test: reason for test, reason in skipped.items() if not reason.startswith(ALLOWED_SKIPS)}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session where a test that should have run was skipped."""
    if _forbidden_skips() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the skips that VCLR_NO_SKIP=1 does not allow."""
    for test, reason in _forbidden_skips().items():
        terminalreporter.write_line(f"skipped, but VCLR_NO_SKIP=1: {test}: {reason}", red=True)


@pytest.fixture(scope="session", autouse=True)
def _hear_interrupts() -> None:
    """Give tests of Ctrl-C, and processes that they start, what a shell takes from what it runs in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _track_nowhere_else() -> None:
    """Forget the store of whoever runs the tests: their runs belong into none but the tests' own."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with a toy world of ten training scenes."""
    root = tmp_path_factory.mktemp("world")
    write_toy_world(root, num_train=10, num_val=4, size=64, quiet=True)
    write_split("toy_known", root / "raw/toy/annotations_train.json", root / "splits/toy_train_toy_known.json")
    return root


@pytest.fixture(scope="session")
def make_config(world: Path) -> Callable[..., Config]:
    """Return the demo's settings on the small world, changed by overrides."""
    raw, views = f"{world}/raw/toy", f"{world}/views/toy"
    own = [
        f"data.train.annotations={world}/splits/toy_train_toy_known.json",
        f"data.train.images={raw}/images",
        f"data.train.views.depth={views}/depth",
        f"data.train.views.style={views}/style",
        f"data.test.annotations={raw}/annotations_val.json",
        f"data.test.images={raw}/images",
        "data.test.proposals=''",
        "dataloader.train.total_batch_size=3",
    ]
    return lambda *overrides: load_config(DEMO, [*own, *overrides])
