"""docs/inputs.md is true: vclr answers the input of each row with exactly the line in the row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.inputs.case import Case
from tests.inputs.data import DATA
from tests.inputs.programs import PROGRAMS

PAGE = Path(__file__).parents[1] / "docs" / "inputs.md"
INPUTS = DATA | PROGRAMS


def rows() -> list[tuple[str, str, str]]:
    """Return the three cells of each row of the page's tables."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]) for line in lines]
    return [row for row in cells if row[0] != "input"]  # type: ignore[misc]


def pattern(line: str) -> str:
    """Return a pattern that matches a line of the page; `...` stands for any text."""
    text = re.fullmatch(r"(`+) ?(.*?) ?\1", line)
    assert text, f"{line}: is not one piece of code"
    return ".*".join(re.escape(part) for part in text[2].split("..."))


WITH_LINE = [row for row in rows() if row[2]]


def test_every_row_with_a_line_is_tried_and_no_other():
    assert sorted(cells[0] for cells in WITH_LINE) == sorted(INPUTS)


@pytest.mark.parametrize(("given", "happens", "line"), WITH_LINE, ids=[row[0] for row in WITH_LINE])
def test_a_row_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, happens: str, line: str):
    monkeypatch.chdir(tmp_path)
    exit_code, said = INPUTS[given](Case())
    assert exit_code == (0 if happens.startswith("read") else 2 if "exit 2" in happens else 1), said
    assert re.search(pattern(line), said), said
