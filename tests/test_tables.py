"""The generated parts of the documentation are what the package says."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import tables
from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.catalog.views import COMPUTED_VIEWS

PAGES = [pytest.param(page, id=page.relative_to(tables.ROOT).as_posix()) for page in tables.pages()]
VIEWS = "<!-- generated: computed views -->"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_up_to_date(page: Path):
    text = page.read_text(encoding="utf-8")
    assert tables.generate(text, page.name) == text, "run `make format`"


def test_the_catalog_and_every_setting_are_in_a_page():
    text = "".join(page.read_text(encoding="utf-8") for page in tables.pages())
    assert [part for part in tables.PARTS if f"<!-- generated: {part} -->" not in text] == []


def test_tables_name_what_the_catalog_names():
    table = tables.generate(f"a {VIEWS} old <!-- end --> b", "page")
    assert table.startswith(f"a {VIEWS}\n") and table.endswith("\n<!-- end --> b")
    assert "old" not in table
    assert all(f"| `{view}` | {text} |" in table for view, text in COMPUTED_VIEWS.items())
    assert all(f"| `{method}` |" in tables.PARTS["proposal methods"]() for method in PROPOSAL_METHODS)
    assert tables.generate(table, "page") == table


@pytest.mark.parametrize("text", ["<!-- generated: nonsense --><!-- end -->", VIEWS, f"{VIEWS} {VIEWS} <!-- end -->"])
def test_a_part_that_does_not_exist_or_end_is_refused(text: str):
    with pytest.raises(ValueError, match=r"^page: "):
        tables.generate(text, "page")


def test_check_names_the_page_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "page.md"
    page.write_text(f"{VIEWS}<!-- end -->\n", encoding="utf-8")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "pages", lambda: [page])
    monkeypatch.setattr("sys.argv", ["tables", "--check"])
    assert tables.main() == 1
    assert "page.md: run `make format`" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["tables"])
    assert tables.main() == 0
    monkeypatch.setattr("sys.argv", ["tables", "--check"])
    assert tables.main() == 0
