"""What README and docs say works: links and anchors lead somewhere, commands exist, the map shows the package."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.test_architecture import FLOOR
from vclr.cli import app
from vclr.cli.examples import EXAMPLES
from vclr.config import load_config

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
EXTEND = ROOT / "docs" / "extend.md"  # tests/test_extend.py runs its commands
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
WORKFLOW_FILES = ("Snakefile", "workflow", "configs", "vclr")


def read_links(text: str) -> list[str]:
    """Return the targets of links and pictures that lie in the repository."""
    targets = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return sorted({target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)})


def read_anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def read_map(text: str) -> dict[str, set[str]]:
    """Return the rooms of the README's map in its order, each with the files that its phrase names."""
    [package] = re.findall(r"^vclr/ .*\n((?: +.*\n)+)", text, flags=re.MULTILINE)
    rooms = re.findall(r"^  ([\w*.]+)/? +(.*)$", package, flags=re.MULTILINE)
    return {room: set(re.findall(r"\w+\.(?:py|yaml)|\w+(?=/)", phrase)) for room, phrase in rooms}


def read_commands(text: str) -> list[str]:
    """Return the commands of the shell blocks: continuation lines joined, prompts and comments gone."""
    blocks = re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").replace(" && ", "\n").splitlines()
    commands = [shlex.join(shlex.split(line.removeprefix("$ "), comments=True)) for line in lines]
    return sorted({command for command in commands if command})


def commands_of(program: str, pages: list[Path]) -> list[str]:
    commands = {command for page in pages for command in read_commands(page.read_text(encoding="utf-8"))}
    return sorted(command for command in commands if command.split()[0] == program)


def links_of_pages() -> list[str]:
    """Return where the links of all pages lead, from the root."""
    return sorted(
        {
            (page.parent / target).resolve().relative_to(ROOT).as_posix()
            for page in PAGES
            for target in read_links(page.read_text(encoding="utf-8"))
        }
    )


@cache
def help_of(*verb: str) -> str:
    done = CliRunner().invoke(app, [*verb, "--help"], env={"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"})
    assert done.exit_code == 0, f"vclr {' '.join(verb)} --help: {done.output}"
    return done.output


def test_reader_of_the_readme():
    text = "[a](docs/a.md#part) [b](https://b.org)\n```bash\n$ make demo && cd  # comment\nvclr ui \\\n  a=1\n```\n"
    assert read_links(text) == ["docs/a.md"]
    assert read_commands(text) == ["cd", "make demo", "vclr ui a=1"]
    assert read_anchors("# A b\n```\n# no\n```\n## `vclr x`: it's a-b\n") == {"a-b", "vclr-x-its-a-b"}
    assert read_map("```\nvclr/  the package\n  *.py  a.py ...\n  ops/  b.py, c/\ndocs/\n") == {
        "*.py": {"a.py"},
        "ops": {"b.py", "c"},
    }


def test_readme_names_the_two_commands():
    assert {"make demo", "make test"} <= set(commands_of("make", [README]))


@pytest.mark.parametrize("target", links_of_pages())
def test_links_lead_somewhere(target: str):
    assert (ROOT / target).exists(), f"a page links to {target}, which does not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_exist(page: Path):
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        linked = (page.parent / target) if target else page
        assert anchor in read_anchors(linked.read_text(encoding="utf-8")), f"{page.name}: {target}#{anchor}"


def test_code_cites_sections_of_the_method_that_exist():
    sections = re.findall(r"^## (\d) ", (ROOT / "docs/method.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sources = [path for folder in ("vclr", "configs", "docs") for path in (ROOT / folder).rglob("*.*")]
    texts = {path: path.read_text(encoding="utf-8") for path in sources if path.suffix in (".py", ".yaml", ".md")}
    cited = {path: re.findall(r"method\.md,? sections? (\d)", " ".join(text.split())) for path, text in texts.items()}
    assert any(cited.values())
    assert not {path: numbers for path, numbers in cited.items() if set(numbers) - set(sections)}


def test_map_of_the_readme_shows_the_rooms_in_the_order_of_their_imports():
    shown = read_map(README.read_text(encoding="utf-8"))
    rooms = {folder.parent.name for folder in (ROOT / "vclr").glob("*/__init__.py")}
    assert set(shown) == rooms | {"*.py"}
    assert next(iter(shown)) == "*.py"
    floors = [FLOOR[room] for room in shown if room in rooms]
    assert floors == sorted(floors), "the map of the README lists a room above one that it imports from"


def test_map_of_the_readme_names_files_that_exist():
    for room, names in read_map(README.read_text(encoding="utf-8")).items():
        folder = ROOT / "vclr" / room.replace("*.py", "")
        assert [name for name in names if not (folder / name).exists()] == [], f"vclr/{room}"


@pytest.mark.parametrize("command", commands_of("make", PAGES))
def test_make_targets_exist(command: str):
    assert (
        subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.parametrize("command", commands_of("vclr", PAGES))
def test_vclr_commands_exist(command: str):
    _, verb, *arguments = shlex.split(command)
    kind = arguments[:1] if verb in ("doctor", "import") or " ".join([verb, *arguments[:1]]) in EXAMPLES else []
    described = help_of(verb, *kind)
    for option in [argument.split("=")[0] for argument in arguments if argument.startswith("--")]:
        assert re.search(rf"{option}\b", described), f"vclr {verb} has no {option}"
    if verb in ("train", "evaluate") and command not in commands_of("vclr", [EXTEND]):  # its settings are new
        words = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
        load_config(None, words)


@pytest.mark.parametrize("command", commands_of("snakemake", [README]))
def test_snakemake_commands_plan(command: str, tmp_path: Path):
    for name in WORKFLOW_FILES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    # Without the cluster's plugin: what is asked here is whether the targets and the settings exist.
    words = shlex.split(command.replace("--profile slurm", "--cores 1"))
    done = subprocess.run(
        [sys.executable, "-m", *words, "--dry-run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
