"""Write the generated parts of the documentation: `python -m docs.tables`, or `--check` to compare only.

A page holds a part between the comments `<!-- generated: NAME -->` and `<!-- end -->`; what stands between them is
replaced by what `PARTS[NAME]` returns.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path

from docs import ablations, data_sets, objects365, recipes
from vclr.catalog.depth_models import DEPTH_KINDS
from vclr.catalog.extras import EXTRAS
from vclr.catalog.import_tools import IMPORT_TOOLS
from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.catalog.view_measures import VIEW_MEASURES, VIEW_MINIMA
from vclr.catalog.views import COMPUTED_VIEWS, DEPTH, PRODUCERS
from vclr.config import Config
from vclr.config.checks import limits
from vclr.config.setting import Setting, settings_of

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- generated: ", "<!-- end -->"
MARKED = re.compile(rf"{BEGIN}(?P<name>[\w ]+) -->(?:(?!{BEGIN}).)*?{END}", re.DOTALL)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = list(head)
    lines = [" | ".join(cells) for cells in (head, ["---"] * len(head), *rows)]
    return "\n\n" + "".join(f"| {line} |\n" for line in lines) + "\n"


def settings_table(root: str) -> str:
    """Describe every setting of a root."""
    rows = [
        (f"`{setting.key}`", shown_default(setting.value), setting.about.meaning, allowed(setting), setting.changes)
        for setting in settings_of(Config())
        if setting.key.startswith(f"{root}.")
    ]
    return table(("key", "default", "meaning", "values", "changes"), rows)


def names_table(title: str, names: Mapping[str, str]) -> str:
    """Describe the names of a list of the catalog."""
    return table((title, "description"), [(f"`{name}`", text) for name, text in names.items()])


def import_tools_table() -> str:
    """Describe the tools whose annotations `vclr import` reads."""
    rows = [(one.title, f"`vclr import {name}`", one.reads, one.habits) for name, one in IMPORT_TOOLS.items()]
    return table(("annotated with", "command", "reads", "habits that it undoes, and what to know"), rows)


def view_measures_table() -> str:
    """Describe the measures of a view, with the minima of `vclr views inspect --check`."""
    minima = {name: f"{least:g}" for name, least in VIEW_MINIMA.items()}
    rows = [(f"`{name}`", text, minima.get(name, "")) for name, text in VIEW_MEASURES.items()]
    return table(("measure", "meaning", "minimum"), rows)


def shown_default(value: object) -> str:
    """Return a default as a cell of the table; long lists are shortened."""
    if isinstance(value, list) and len(value) > 4:
        return f"`{value[0]}, {value[1]}, ..., {value[-1]}`"
    return "" if value == "" else f"`{value}`"


def allowed(setting: Setting) -> str:
    """Say which values a setting may have, beyond its type."""
    about = setting.about
    if about.choices:
        return ", ".join(f"`{choice}`" for choice in about.choices)
    length = [f"{about.length} numbers"] if about.length else []
    words = [f"`{word}`" for word in about.words]
    return ", ".join([*length, *words, *filter(None, [limits(about.at_least, about.at_most)])])


PARTS: dict[str, Callable[[], str]] = {
    **{f"settings {root.name}": partial(settings_table, root.name) for root in fields(Config)},
    "extras": partial(names_table, "extra", EXTRAS),
    "view names": lambda: f"`{' '.join(COMPUTED_VIEWS)}`",
    "computed views": partial(names_table, "view", COMPUTED_VIEWS),
    "view measures": view_measures_table,
    "depth producers": partial(names_table, "model", PRODUCERS[DEPTH]),
    "depth kinds": partial(names_table, "kind", DEPTH_KINDS),
    "import tools": import_tools_table,
    "proposal methods": partial(
        names_table, "method", {name: one.description for name, one in PROPOSAL_METHODS.items()}
    ),
    "classes of Objects365": lambda: table(*objects365.known_classes()),
    "splits": lambda: table(*data_sets.splits()),
    "training sets": lambda: table(*data_sets.training_sets()),
    "protocols": lambda: table(*data_sets.protocols()),
    "published results": lambda: table(*data_sets.results()),
    "recipes": lambda: table(*recipes.recipes()),
    "ablations": lambda: table(*ablations.ablations()),
}


def generate(text: str, page: str) -> str:
    """Return a page with its generated parts as they should be.

    Raises:
        ValueError: the page asks for a part that does not exist, or does not end one.
    """
    if text.count(BEGIN) != len(MARKED.findall(text)):
        raise ValueError(f"{page}: a generated part has no `<!-- end -->`, or its name is not made of words")

    def fill(part: re.Match[str]) -> str:
        if part["name"] not in PARTS:
            raise ValueError(f"{page}: unknown part {part['name']!r}; docs/tables.py has {', '.join(PARTS)}")
        return f"{BEGIN}{part['name']} -->{PARTS[part['name']]()}{END}"

    return MARKED.sub(fill, text)


def pages() -> list[Path]:
    """Return the pages that may have generated parts."""
    return [ROOT / "README.md", ROOT / "configs" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> int:
    """Write the parts, or with `--check` name the pages that differ; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Write nothing; exit with 1 if a page differs.")
    only_check = parser.parse_args().check
    old = {page: page.read_text(encoding="utf-8") for page in pages()}
    try:
        new = {page: generate(text, str(page.relative_to(ROOT))) for page, text in old.items()}
    except ValueError as error:
        print(error)
        return 1
    changed = [page for page in old if old[page] != new[page]]
    for page in changed:
        print(f"{page.relative_to(ROOT)}: {'run `make format`' if only_check else 'tables written'}")
        if not only_check:
            page.write_text(new[page], encoding="utf-8")
    return int(only_check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
