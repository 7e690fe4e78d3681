"""The recipes of docs/extend.md work: each is carried out in a copy of the repository, as its page says.

A block of a recipe is headed by a sentence, which says what becomes of it:

- "Create `PATH`:" writes the file;
- "Add to `PATH`:" appends to it, "Add to `PATH`, below `LINE`:" inserts after the only line that begins so;
- "Replace in `PATH` the line `LINE`:" (or "the lines `LINE` and `LINE`") replaces the lines that begin so, which follow
  each other;
- "Run:" runs the commands.

A block under any other sentence is for the reader alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from vclr.launch.profile import read_profile

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "extend.md"
RECIPES = ["A loss", "A view", "A proposal method", "A data set with a protocol", "A backbone", "A SLURM site"]
COPIED = ("vclr", "configs", "workflow", "Snakefile", "slurm")


class Step(NamedTuple):
    """What the sentence above a block says (create, add to, replace in, run), the texts it quotes, and the block."""

    action: str
    quoted: list[str]
    block: str


def read_steps(text: str) -> list[Step]:
    """Return the steps of a recipe in order."""
    steps = []
    for above, block in re.findall(r"((?:^(?!```)[^\n]+\n)+)\n```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        sentence = re.split(r"(?<=[.]) (?=[A-Z])", " ".join(above.split()))[-1]
        action = re.match(r"(Create|Add to|Replace in|Run)\b", sentence)
        if action and sentence.endswith(":"):
            steps.append(Step(action[1].lower(), re.findall(r"`([^`]+)`", sentence), block))
    return steps


def read_recipes(page: str) -> dict[str, list[Step]]:
    """Return the steps of each recipe by its heading."""
    _, *parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)
    return {heading: read_steps(text) for heading, text in zip(parts[::2], parts[1::2], strict=True)}


def find_line(lines: list[str], start: str, name: str) -> int:
    """Return the number of the only line that begins with a text, whatever its indentation."""
    found = [number for number, line in enumerate(lines) if line.strip().startswith(start)]
    assert len(found) == 1, f"{name} has {len(found)} lines that begin with {start!r}"
    return found[0]


def change_file(root: Path, step: Step) -> None:
    """Do what a step says to a file."""
    name, *anchors = step.quoted
    path = root / name
    if step.action == "create":
        assert not path.exists(), f"{name} exists already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.block, encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    found = [find_line(lines, anchor, name) for anchor in anchors]
    assert found == list(range(found[0], found[0] + len(found))) if found else True, f"{name}: {anchors} do not follow"
    if step.action == "replace in":
        lines[found[0] : found[-1] + 1] = [step.block]
    else:
        lines.insert(found[0] + 1 if found else len(lines), step.block)
    path.write_text("".join(lines), encoding="utf-8")


def run(root: Path, command: str) -> str:
    """Run a shell command in the copy, whose package then counts; return what it prints."""
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PYTHONPATH": str(root), "PATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-ec", command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def carry_out(root: Path, steps: list[Step]) -> str:
    """Copy what recipes change into a folder, take the steps there, and return what the commands print."""
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    printed = ""
    for step in steps:
        if step.action == "run":
            printed += run(root, step.block)
        else:
            change_file(root, step)
    return printed


# --- what must come out of each recipe -------------------------------------------------------------------------------


def site_is_read(root: Path, printed: str) -> None:
    """A training of the site asks for what the page says, other jobs for its partition and account."""
    profile = read_profile(root / "mysite/config.yaml")
    training = profile.training
    assert (training.backend, training.nodes, training.tasks_per_node) == ("slurm", 4, 8)
    assert (training.partition, training.account) == ("gpu", "vision")
    assert (profile.others["slurm_partition"], profile.others["slurm_account"]) == ("gpu", "vision")
    assert profile.others["mem_mb"] == read_profile(ROOT / "slurm/config.yaml").others["mem_mb"]


RESULTS: dict[str, Callable[[Path, str], None]] = {"A SLURM site": site_is_read}


def test_page_has_its_recipes_and_those_with_steps_are_carried_out():
    recipes = read_recipes(PAGE.read_text(encoding="utf-8"))
    assert list(recipes) == RECIPES
    assert {heading for heading, steps in recipes.items() if steps} == set(RESULTS)


@pytest.mark.parametrize("heading", RESULTS)
def test_recipe_works(heading: str, tmp_path: Path):
    printed = carry_out(tmp_path, read_recipes(PAGE.read_text(encoding="utf-8"))[heading])
    RESULTS[heading](tmp_path, printed)


def test_a_page_is_read_step_by_step():
    page = (
        "# Page\n\n```bash\nignored\n```\n\n## One\n\nText. Create `a.py`:\n\n```python\nx = 1\n```\n\n"
        "Add to\n`a.py`, below `x`:\n\n```python\ny = 2\n```\n\nThis needs a cluster:\n\n```bash\nnever\n```\n\n"
        "## Two\n\nRun:\n\n```bash\nls\n```\n"
    )
    assert read_recipes(page) == {
        "One": [Step("create", ["a.py"], "x = 1\n"), Step("add to", ["a.py", "x"], "y = 2\n")],
        "Two": [Step("run", [], "ls\n")],
    }


def test_steps_change_files(tmp_path: Path):
    for step in (
        Step("create", ["deep/a.yaml"], "a:\n  b: 1\n  c: 2\n"),
        Step("add to", ["deep/a.yaml", "a:"], "  d: 0\n"),
        Step("replace in", ["deep/a.yaml", "b: 1", "c:"], "  b: 3\n"),
        Step("add to", ["deep/a.yaml"], "e: 5\n"),
    ):
        change_file(tmp_path, step)
    assert (tmp_path / "deep/a.yaml").read_text() == "a:\n  d: 0\n  b: 3\ne: 5\n"


@pytest.mark.parametrize("anchors", [["b"], ["c: 1", "d: 1"], ["z"]], ids=["twice", "apart", "nowhere"])
def test_steps_that_fit_no_place_fail(anchors: list[str], tmp_path: Path):
    (tmp_path / "a").write_text("b: 1\nc: 1\nb: 2\nd: 1\n")
    with pytest.raises(AssertionError, match="a"):
        change_file(tmp_path, Step("replace in", ["a", *anchors], "x\n"))
