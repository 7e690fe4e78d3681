"""What all tests share: with VCLR_NO_SKIP=1, as in continuous integration, a test that is skipped fails the session."""

from __future__ import annotations

import os

import pytest

# A skip whose reason starts with one of these is right where the thing is absent.
ALLOWED_SKIPS = ("needs a GPU", "needs VCLR_SHARED", "needs the extra")

skipped: dict[str, str] = {}


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
