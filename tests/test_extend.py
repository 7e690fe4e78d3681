"""The recipes of docs/extend.md work: each is carried out in a copy of the repository, as its page says.

A block of a recipe is headed by a sentence, which says what becomes of it:

- "Create `PATH`:" writes the file;
- "Add to `PATH`:" appends to it, "Add to `PATH`, below `LINE`:" inserts after the only line that begins so;
- "Replace in `PATH` the line `LINE`:" (or "the lines `LINE` and `LINE`") replaces the lines that begin so, which follow
  each other;
- "Run:" runs the commands.

A block under any other sentence is for the reader alone. The copy has `photos/` and `photos.json`, as the page says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from vclr.launch.profile import read_profile

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "extend.md"
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


def write_photos(root: Path) -> None:
    """Write four photos, each with a bright rectangle on a dark gradient, and their annotations."""
    (root / "photos").mkdir()
    images, annotations = [], []
    for number in range(1, 5):
        pixels = np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 96, 3))
        pixels[8:40, 10 * number : 10 * number + 40] = (250, 200, 150)
        Image.fromarray(pixels).save(root / f"photos/{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 64, "width": 96})
        x, y, right, bottom = 10 * number, 8, 10 * number + 40, 40
        polygon = [x, y, right, y, right, bottom, x, bottom]
        entry = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": 40 * 32}
        annotations.append({**entry, "bbox": [x, y, 40, 32], "segmentation": [polygon]})
    contents = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    (root / "photos.json").write_text(json.dumps(contents))


def carry_out(root: Path, steps: list[Step]) -> str:
    """Copy what recipes change into a folder, take the steps there, and return what the commands print."""
    write_photos(root)
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


def loss_is_trained(root: Path, printed: str) -> None:
    """The loss has a value in both steps. In the first, teacher and student may still predict the same boxes."""
    lines = (root / "runs/boxes/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(line)["loss_box_consistency"] for line in lines if "loss_box_consistency" in line]
    assert len(losses) == 2
    assert losses[0] >= 0
    assert losses[1] > 0


def view_is_written(root: Path, printed: str) -> None:
    """The files of the view have four brightness levels, and its name may be drawn in trainings."""
    for number in range(1, 5):
        pixels = np.asarray(Image.open(root / f"posterized/{number}.png"))
        assert pixels.shape == (64, 96, 3)
        assert set(np.unique(pixels)) <= {0, 85, 170, 255}
    choice = "from vclr.config import *; from vclr.views.choice import *; config = load_config(None, WEIGHTS)"
    choice = choice.replace("WEIGHTS", "['views.weights={natural: 1, posterize: 1}']")
    run(root, f'python -c "{choice}; check_view_names(config.views, config.data.train)"')


def proposals_are_written(root: Path, printed: str) -> None:
    """The rectangle of each photo is proposed, and a training set has these proposals in its name."""
    proposals = json.loads((root / "bright.json").read_text())["annotations"]
    assert [proposal["bbox"] for proposal in proposals] == [[10 * number, 8, 40, 32] for number in range(1, 5)]
    assert all(proposal["score"] == pytest.approx(40 * 32 / (64 * 96), abs=1e-3) for proposal in proposals)
    name = "openworld_voc_classes_train2017_bright"
    code = f"from vclr.catalog.data_sets import DATA_SETS; print(DATA_SETS['{name}'].annotations)"
    assert run(root, f'python -c "{code}"') == "splits/coco2017_train_voc_top10_bright.json\n"


def data_set_is_planned(root: Path, printed: str) -> None:
    """The workflow fetches the data set, makes its split, and evaluates the training on it."""
    assert "raw/tabletop" in printed
    assert "data/splits/tabletop_val_objects.json" in printed
    assert "results/voc_to_tabletop/seed0/tabletop" in printed
    listed = "from vclr.config import load_config; from vclr.data.data_sets import test_set"
    listed += "; print(test_set(load_config(None, ['evaluation.protocol=tabletop'])).images)"
    assert run(root, f'python -c "{listed}"').splitlines()[-1] == "data/raw/tabletop/images"
    assert "CC BY 4.0" in run(root, "vclr licenses")
    assert "tabletop/images.zip" in run(root, "vclr fetch tabletop --dry-run")


def backbone_is_measured(root: Path, printed: str) -> None:
    """A detector with this backbone runs; a setting that the family does not have is refused."""
    assert json.loads(printed)["median_s"] > 0
    build = "from vclr.config import load_config; from vclr.models.backbone import build_backbone"
    build += "; build_backbone(load_config(None, ['model.backbone.name=convnet', 'SETTING']).model.backbone, 32)"
    run(root, f'python -c "{build.replace("SETTING", "model.backbone.stem_out_channels=32")}"')
    with pytest.raises(AssertionError, match=r"model\.backbone\.depth: a convnet"):
        run(root, f'python -c "{build.replace("SETTING", "model.backbone.depth=18")}"')


def site_is_read(root: Path, printed: str) -> None:
    """A training of the site asks for what the page says, other jobs for its partition and account."""
    profile = read_profile(root / "mysite/config.yaml")
    training = profile.training
    assert (training.backend, training.nodes, training.tasks_per_node) == ("slurm", 4, 8)
    assert (training.partition, training.account) == ("gpu", "vision")
    assert (profile.others["slurm_partition"], profile.others["slurm_account"]) == ("gpu", "vision")
    assert profile.others["mem_mb"] == read_profile(ROOT / "slurm/config.yaml").others["mem_mb"]


RESULTS: dict[str, Callable[[Path, str], None]] = {
    "A loss": loss_is_trained,
    "A view": view_is_written,
    "A proposal method": proposals_are_written,
    "A data set with a protocol": data_set_is_planned,
    "A backbone": backbone_is_measured,
    "A SLURM site": site_is_read,
}


def test_every_recipe_of_the_page_has_steps_and_a_result():
    recipes = read_recipes(PAGE.read_text(encoding="utf-8"))
    assert list(recipes) == list(RESULTS)
    assert all(recipes.values())


SLOW = ("A loss", "A backbone")


@pytest.mark.parametrize(
    "heading", [pytest.param(one, marks=pytest.mark.slow) if one in SLOW else one for one in RESULTS]
)
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
