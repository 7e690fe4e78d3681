"""What README and docs say works: links lead somewhere, commands exist."""

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

from vclr.cli import app
from vclr.config import load_config

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
WORKFLOW_FILES = ("Snakefile", "workflow", "configs", "vclr")


def read_links(text: str) -> list[str]:
    """Return the targets of links and pictures that lie in the repository."""
    targets = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return sorted({target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)})


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


def test_readme_names_the_two_commands():
    assert {"make demo", "make test"} <= set(commands_of("make", [README]))


@pytest.mark.parametrize("target", links_of_pages())
def test_links_lead_somewhere(target: str):
    assert (ROOT / target).exists(), f"a page links to {target}, which does not exist"


@pytest.mark.parametrize("command", commands_of("make", PAGES))
def test_make_targets_exist(command: str):
    assert (
        subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.parametrize("command", commands_of("vclr", PAGES))
def test_vclr_commands_exist(command: str):
    _, verb, *arguments = shlex.split(command)
    kind = arguments[:1] if verb in ("doctor", "import") else []
    described = help_of(verb, *kind)
    for option in [argument.split("=")[0] for argument in arguments if argument.startswith("--")]:
        assert re.search(rf"{option}\b", described), f"vclr {verb} has no {option}"
    if verb in ("train", "evaluate"):
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
