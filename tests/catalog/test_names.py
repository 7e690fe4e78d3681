"""Every list of names that a user reads says exactly what the catalog says: help, pages, errors, rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs import data_sets
from vclr.catalog.annotation_tools import ANNOTATION_TOOLS
from vclr.catalog.classes import CLASS_LISTS
from vclr.catalog.data_sets import DATA_SETS, PROTOCOLS, PUBLISHED_TOP_SPLITS, SPLIT_FILES, SPLITS, find_part
from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.catalog.views import COMPUTED_VIEWS, PRODUCERS
from vclr.cli import app
from vclr.config import load_config
from vclr.errors import UsageError
from vclr.fetch.sources import read_catalog
from vclr.splits.class_matching import MATCHERS
from vclr.splits.split import find_split

ROOT = Path(__file__).parents[2]
SETTINGS_PAGE = (ROOT / "configs/README.md").read_text(encoding="utf-8")
DATA_PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")


def help_of(verb: str) -> str:
    """Return the help of a verb as one line of words."""
    shown = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "400", "TERM": "dumb"}).output
    return " ".join(re.sub("[│╭╮╰╯─]", " ", shown).split())


def setting(key: str) -> str:
    """Return the row of a setting."""
    (row,) = re.findall(rf"^\| `{re.escape(key)}` \|.*", SETTINGS_PAGE, flags=re.MULTILINE)
    return row


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_help_names_the_catalog():
    assert f"Name of the view: {', '.join(dict.fromkeys([*COMPUTED_VIEWS, *PRODUCERS]))}." in help_of("views")
    methods = "; ".join(f"{name}: {method.description}" for name, method in PROPOSAL_METHODS.items())
    assert f"How to find objects. {methods}." in help_of("proposals")
    assert f"One of {', '.join(SPLITS)}; with the best proposals per image: {', '.join(PUBLISHED_TOP_SPLITS)}." in (
        help_of("split")
    )
    tools = "; ".join(f"{name} ({what})" for name, what in ANNOTATION_TOOLS.items())
    assert f"Also write the drawn objects for annotation tools: {tools}." in help_of("predict")
    for verb in ("evaluate", "audit"):
        assert f"A published protocol ({', '.join(PROTOCOLS)})" in help_of(verb)


def test_page_of_settings_names_the_catalog():
    views = [names.split() for names in quoted(setting("views.weights")) if "edge" in names]
    assert views == [[*COMPUTED_VIEWS]]
    assert re.search(rf"\W{'`?, `?'.join(PROTOCOLS)}\W", setting("evaluation.protocol"))
    assert re.search(rf"\W{'`?, `?'.join(PROPOSAL_METHODS)}\W", setting("proposals.method"))
    assert set(quoted(setting("evaluation.groups"))) - {"evaluation.groups", "{}"} == {*CLASS_LISTS}


def test_front_page_names_the_views():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (views,) = re.findall(r"views need no pretrained model: <!-- generated: view names -->`([^`]+)`", text)
    assert views.split() == [*COMPUTED_VIEWS]


@pytest.mark.parametrize("name", ["splits", "training sets", "protocols"])
def test_page_of_data_has_the_tables_of_the_catalog(name: str):
    head, rows = getattr(data_sets, name.replace(" ", "_"))()
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    assert f"<!-- generated: {name} -->\n\n" + "\n".join(lines) + "\n\n<!-- end -->" in DATA_PAGE


def test_rules_and_schema_take_their_names_from_the_catalog():
    """None is written there, except those of data sets in comments."""
    names = {*COMPUTED_VIEWS, *PROPOSAL_METHODS, *SPLITS, *SPLIT_FILES, *PROTOCOLS, *DATA_SETS} - {"coco", "voc"}
    for path in (*(ROOT / "workflow").rglob("*.smk"), ROOT / "Snakefile", *(ROOT / "workflow/schemas").iterdir()):
        code = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
        assert not names & set(re.findall(r"[\w-]+", code)), path.name


@pytest.mark.parametrize("method", PROPOSAL_METHODS)
def test_settings_accept_each_method_of_proposals(method: str):
    assert load_config(None, [f"proposals.method={method}"]).proposals.method == method
    with pytest.raises(UsageError, match=rf"must be one of {', '.join(PROPOSAL_METHODS)}$"):
        load_config(None, ["proposals.method=nowhere"])


def test_records_agree_with_splits_and_sources():
    sources = read_catalog()
    for record in DATA_SETS.values():
        assert record.source in sources, record.name
        assert record.method in ("", *PROPOSAL_METHODS)
        assert not record.split or bool(find_split(record.split).top_k) == bool(record.method)
        assert bool(record.protocol) == bool(record.title)
    assert {split.match for split in SPLITS.values()} <= set(MATCHERS)
    assert len({record.title for record in PROTOCOLS.values()}) == len(PROTOCOLS)
    assert find_part("coco2017", "train") is DATA_SETS["openworld_voc_classes_train2017_graph"]
    assert find_part("lvis") is DATA_SETS["openworld_LVIS_noncoco_val2017"]
    assert find_part("lvis", "train").json == "raw/lvis/annotations_train.json"
    assert find_part("mine", "val").images == ("raw/mine/images",)
