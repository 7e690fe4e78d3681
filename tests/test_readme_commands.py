"""The commands of the README that need neither network nor cluster, in its order, in one fresh clone.

What is committed is cloned. So that this takes minutes, the clone is made small first, by edits of its files, as the
README itself makes one:

- a training takes ITERATIONS steps in the place of 900 (`configs/small_detector.yaml`, and the README's own `sed`);
- the toy world has a tenth of its scenes (`vclr/generate/toy.py`);
- the published experiment trains the small detector on the toy scenes (`configs/experiment/voc_to_nonvoc.yaml`);
- the environment is the one that runs this test, so that `make` installs nothing.

What a user has and a clone has not is put in place before the command that reads it: annotated photos, an official
json, checkpoints of the reference. What the README says that a command does or prints is compared in EXPECTED, where
every command of the README stands: a new one fails here until somebody says what it should do.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.generate.importers.as_labelme import write_labelme
from tests.mlflow_page import look_at_runs
from tests.report.chromium import CHROMIUM
from vclr.catalog.classes import COCO_CLASSES

ROOT = Path(__file__).parents[1]
ITERATIONS = 9  # of a training in the clone; the README makes them fewer by one ninth
TOY = "data/raw/toy"


class Clone:
    """A fresh clone in which commands run one after another, as in one terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        identity = {f"GIT_{who}_NAME": "Tests" for who in ("AUTHOR", "COMMITTER")}
        identity |= {f"GIT_{who}_EMAIL": "tests@example.org" for who in ("AUTHOR", "COMMITTER")}
        path = os.pathsep.join([str(folder / ".venv/bin"), os.environ["PATH"]])
        # A home of its own: completion of a shell, caches and settings of git are written there.
        (folder.parent / "home").mkdir()
        plain = {
            "HOME": str(folder.parent / "home"),
            "PYTHONPATH": str(folder),
            "PATH": path,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        self.environment = {**os.environ, **identity, **plain}
        self._link_environment()

    def _link_environment(self) -> None:
        """Make `.venv` the environment of this test: it is there already, so that `make` installs nothing."""
        (self.folder / ".venv").mkdir()
        for name in ("bin", "lib", "lib64", "pyvenv.cfg"):
            if (Path(sys.prefix) / name).exists():
                (self.folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
        (self.folder / ".venv/.ready").touch()

    def edit(self, name: str, before: str, after: str) -> None:
        """Replace a text of a file, which must be there."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert before in text, f"{name} has no {before!r}"
        (self.folder / name).write_text(text.replace(before, after), encoding="utf-8")

    def run(self, command: str, seconds: float = 1200) -> str:
        """Run a command and return all that it prints.

        Raises:
            AssertionError: it fails.
        """
        process = subprocess.Popen(
            # Bash would turn into its last command; the installation of completions asks what shell it was started by.
            ["bash", "-c", f"{command}\nexit $?"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the workflow that it started
            raise
        assert process.returncode == 0, f"{command}: exit {process.returncode}\n{output[-4000:]}"
        assert "Traceback" not in output, f"{command}\n{output[-4000:]}"
        return output

    def json(self, name: str) -> Any:
        """Read a json file of the clone."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


def list_commands(text: str) -> list[str]:
    """Return the commands of a page's shell blocks in order, continuation lines joined, without comments."""
    blocks = re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [re.sub(r"\s+#\s.*$", "", line).strip() for line in lines]
    return [re.sub(r"\s+", " ", command) for command in commands if command]


def test_commands_are_in_order_and_whole():
    shell = "```bash\nmake demo   # all\nvclr a \\\n  b=1 'c d'\n```\n"
    text = f"{shell}text\n```\nno command\n```\n```bash\n# none\nls x#y\n```\n"
    assert list_commands(text) == ["make demo", "vclr a b=1 'c d'", "# none", "ls x#y"]


# --- what a user has that a clone has not ----------------------------------------------------------------------------


def shrink(clone: Clone) -> None:
    """Make the clone's trainings short."""
    clone.edit("configs/small_detector.yaml", "max_iter: 900", f"max_iter: {ITERATIONS}")
    clone.edit(
        "vclr/generate/toy.py", "num_train: int = 600, num_val: int = 150", "num_train: int = 60, num_val: int = 15"
    )
    demo = (clone.folder / "configs/experiment/demo.yaml").read_text(encoding="utf-8")
    published = clone.folder / "configs/experiment/voc_to_nonvoc.yaml"
    published.write_text(f"{demo}train:\n  max_iter: {ITERATIONS + 2}\n", encoding="utf-8")
    clone.run("git commit --quiet --all --message 'Short trainings'")


def put_own_photos(clone: Clone) -> None:
    """Photos of a user with annotations of labelme, depth maps, and a json to evaluate with."""
    annotations = clone.json(f"{TOY}/annotations_train.json")
    annotations["images"] = annotations["images"][:12]
    kept = {image["id"] for image in annotations["images"]}
    annotations["annotations"] = [entry for entry in annotations["annotations"] if entry["image_id"] in kept]
    for entry in annotations["annotations"]:  # labelme draws, it knows no run lengths
        x, y, width, height = entry["bbox"]
        entry["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    mine = clone.folder / "mine"
    for folder in ("labels", "images", "depth"):
        (mine / folder).mkdir(parents=True)
    write_labelme(annotations, mine / "labels")
    for image in annotations["images"]:
        name = image["file_name"]
        shutil.copy(clone.folder / TOY / "images" / name, mine / "images" / name)
        shutil.copy(clone.folder / "data/views/toy/depth" / name, mine / "depth" / name)
    (mine / "val.json").write_text(json.dumps(annotations))


def put_official_json(clone: Clone) -> None:
    """COCO's annotations for validation, in small: one object of each class in one photo."""
    image = {"id": 1, "file_name": "000000000001.jpg", "height": 480, "width": 640}
    categories = [{"id": number, "name": name} for number, name in enumerate(COCO_CLASSES, start=1)]
    annotations = [
        {"id": number, "image_id": 1, "category_id": number, "bbox": [number, 1, 50, 50], "area": 2500, "iscrowd": 0}
        for number in range(1, len(categories) + 1)
    ]
    path = clone.folder / "data/raw/coco2017/annotations/instances_val2017.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"images": [image], "annotations": annotations, "categories": categories}))


def put_published_weights(clone: Clone) -> None:
    """Weights of the published architecture under the reference's names, untrained, and a photo."""
    made = "import torch, vclr; from pathlib import Path\n"
    made += (
        "model = vclr.build_model(vclr.load_config(None, []))\ntorch.save({'model': model.state_dict()}, 'made.pth')"
    )
    clone.run(f'python -c "{made}"')
    clone.run("vclr convert made.pth --to reference --output vCLR_deformable_train_on_voc.pth && rm made.pth")
    shutil.copy(clone.folder / TOY / "images/val_00002.png", clone.folder / "photo.png")
    clone.run("python -c \"from PIL import Image; Image.open('photo.png').save('photo.jpg')\"")


def put_reference_training(clone: Clone) -> None:
    """A half-done training of the reference: ours, converted."""
    clone.run(
        "vclr train --config-file configs/experiment/voc_to_nonvoc.yaml --quiet train.output_dir=half train.max_iter=2"
    )
    clone.run("vclr convert half/checkpoints/last.pt --to reference --output output/model_0029999.pth")


BEFORE: dict[str, Callable[[Clone], None]] = {
    "vclr split nonvoc": put_official_json,
    "vclr import labelme": put_own_photos,
    "vclr predict --checkpoint vCLR": put_published_weights,
    "vclr convert output/": put_reference_training,
}

# --- what the README says of each command ----------------------------------------------------------------------------


def trained(clone: Clone, output: str) -> None:
    """`make demo`: three detectors, each evaluated on known and novel classes, a report, all recorded and in MLflow."""
    assert (clone.folder / "results/demo/report.html").stat().st_size > 10_000
    for experiment in ("demo_baseline", "demo_views", "demo"):
        assert {"known", "novel"} <= clone.json(f"results/{experiment}/seed0/metrics.json")["groups"].keys()
    assert "results/demo/report.html" in output
    assert (clone.folder / "dvc.lock").is_file()
    assert "Nothing to be done" in clone.run("snakemake demo --cores all")
    assert "up to date" in clone.run("dvc status")
    if CHROMIUM:
        look_at_runs(clone.folder / "mlflow.db", "demo", clone.folder.parent / "screenshots")


def nothing_to_do(clone: Clone, output: str) -> None:
    assert "Nothing to be done" in output


def completion_installed(clone: Clone, output: str) -> None:
    assert "completion installed" in output
    assert "vclr" in (Path(clone.environment["HOME"]) / ".bashrc").read_text(encoding="utf-8")


def healthy(clone: Clone, output: str) -> None:
    assert "is ready (0 errors" in output


def compared(clone: Clone, output: str) -> None:
    """A row per run with intervals, and the difference of the two."""
    assert output.count("demo_baseline/seed0") >= 2
    assert re.search(r"\[[+−-]?\d+\.\d, [+−-]?\d+\.\d\]", output)


def delivered(clone: Clone, output: str) -> None:
    """The trainings have delivered everything themselves."""
    for name in ("demo", "demo_baseline", "demo_views"):
        line = rf"runs/{name}/seed0: 0 values and 0 files delivered to sqlite:///\S+/mlflow.db; FINISHED"
        assert re.search(line, output), output


def predicted(clone: Clone, output: str) -> None:
    assert (clone.folder / "found/val_00001.png").stat().st_size > 1000
    assert isinstance(clone.json("found/val_00001.json"), list)


def committed(clone: Clone, output: str) -> None:
    assert clone.run("git status --porcelain dvc.lock data.dvc") == ""
    assert "Record the demo" in output


def repeated(clone: Clone, output: str) -> None:
    """`dvc repro` trains and evaluates again; data and views stay."""
    assert "rule train" in output
    assert "rule evaluate" in output
    for rule in ("fetch_toy", "split", "views", "proposals"):
        assert f"rule {rule}:" not in output
    assert clone.json("results/demo/summary.json")


def parameters_differ(clone: Clone, output: str) -> None:
    assert re.search(rf"max_iter.*{ITERATIONS}.*{fewer(ITERATIONS)}", output), output


def metrics_differ(clone: Clone, output: str) -> None:
    assert "results/demo/summary.json" in output


def reported_all(clone: Clone, output: str) -> None:
    assert (clone.folder / "results/all/report.html").is_file()
    assert (clone.folder / "runs/demo/seed1/DONE").is_file()


def planned(clone: Clone, output: str) -> None:
    """What, how large, checked by what, is there room; and nothing is written."""
    assert "train2017.zip" in output
    assert "GB" in output
    assert not (clone.folder / "data/raw/lvis").exists()


def split_made(clone: Clone, output: str) -> None:
    assert len(clone.json("nonvoc.json")["annotations"]) == 60


def listed(clone: Clone, output: str) -> None:
    assert "commercial use" in output


def imported(clone: Clone, output: str) -> None:
    assert "12 images" in output
    assert len(clone.json("mine/train.json")["annotations"]) == len(clone.json("mine/val.json")["annotations"])


def sound(clone: Clone, output: str) -> None:
    assert re.search(r"\b0 errors", output), output


def trained_own(clone: Clone, output: str) -> None:
    assert (clone.folder / "runs/mine/DONE").read_text() == f"{fewer(ITERATIONS)}\n"


def evaluated_own(clone: Clone, output: str) -> None:
    assert "box_ar@100" in output
    assert "mask_ar@100" in clone.json("results/mine/metrics.json")


def reported_own(clone: Clone, output: str) -> None:
    """Curves of the training and figures of the evaluation in one page."""
    page = (clone.folder / "results/report/report.html").read_text(encoding="utf-8")
    assert "mine" in page
    assert f"{clone.json('results/mine/metrics.json')['box_ar@100']:.1f}" in page


def predicted_photo(clone: Clone, output: str) -> None:
    assert (clone.folder / "found/photo.png").is_file()
    assert isinstance(clone.json("found/photo.json"), list)


def converted(clone: Clone, output: str) -> None:
    assert (clone.folder / "runs/voc/checkpoints/last.pt").is_file()


def resumed(clone: Clone, output: str) -> None:
    assert "continuing from iteration 2" in output
    assert (clone.folder / "runs/voc/DONE").is_file()


def converted_back(clone: Clone, output: str) -> None:
    assert (clone.folder / "model_final.pth").is_file()


def silent(clone: Clone, output: str) -> None:
    assert output == ""


def opened(clone: Clone, output: str) -> None:
    """Nothing to compare: `open_page` has seen the page."""


NETWORK = "needs the network"
CLUSTER = "needs a cluster"
EXPECTED: dict[str, list[Callable[[Clone, str], None] | str]] = {
    "make demo": [trained, nothing_to_do],
    "make test": ["is what runs this"],
    "source .venv/bin/activate": [silent],
    "vclr --install-completion": [completion_installed],
    "vclr ui": [opened],
    "vclr compare results/demo_baseline/seed0 results/demo/seed0": [compared],
    "vclr track sync": [delivered],
    "vclr predict --checkpoint runs/demo": [predicted],
    "vclr serve": [opened],
    "git add dvc.lock data.dvc && git commit": [committed],
    "sed -i": [silent],
    "dvc repro": [repeated],
    "dvc params diff": [parameters_differ],
    "dvc metrics diff": [metrics_differ],
    "snakemake all --cores 2 --config 'experiments=[demo]'": [reported_all],
    "make study": ["is run by tests/workflow/test_study.py"],
    "snakemake self_training": ["is run by tests/workflow/test_self_training.py"],
    "vclr fetch coco2017 lvis --dry-run": [planned],
    "vclr split nonvoc": [split_made],
    "vclr licenses": [listed],
    "snakemake all --cores 8": [NETWORK],
    "vclr doctor": [healthy],
    "vclr doctor slurm": [CLUSTER],
    "snakemake --profile slurm all": [CLUSTER],
    "vclr import labelme": [imported],
    "vclr doctor data": [sound],
    "vclr train --config-file configs/small_detector.yaml": [trained_own],
    "vclr evaluate --config-file configs/small_detector.yaml": [evaluated_own],
    "vclr report --experiments mine": [reported_own],
    "vclr predict --checkpoint vCLR": [predicted_photo],
    "vclr convert output/": [converted],
    "vclr train --config-file configs/experiment/voc_to_nonvoc.yaml --resume": [resumed],
    "vclr convert runs/voc": [converted_back],
}


def fewer(iterations: int) -> int:
    """Return the iterations that the README changes to, 800 of 900."""
    return iterations * 8 // 9


def in_small(command: str) -> str:
    """Return a command of the README for the clone's short trainings."""
    return command.replace("900", str(ITERATIONS)).replace("800", str(fewer(ITERATIONS)))


def open_page(clone: Clone, command: str) -> str:
    """Start a command that serves a page on a free port, without a browser, and wait for the page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*shlex.split(command, comments=True), "--port", str(port), *["--no-browser"] * (command == "vclr ui")],
        cwd=clone.folder,
        env=clone.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and server.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    page: str = answer.read().decode()
                    return page
            except OSError:
                time.sleep(0.5)
        raise AssertionError(f"{command}: shows no page")
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_commands_of_the_readme(tmp_path: Path):
    clone = Clone(tmp_path / "vclr")
    shrink(clone)
    expected = {start: list(checks) for start, checks in EXPECTED.items()}
    for command in list_commands((clone.folder / "README.md").read_text(encoding="utf-8")):
        start = max((start for start in expected if command.startswith(start)), key=len, default="")
        assert start and expected[start], f"the README has `{command}`; say in EXPECTED what it does"
        check = expected[start].pop(0)
        if isinstance(check, str):
            continue
        for begin, prepare in BEFORE.items():
            if command.startswith(begin):
                prepare(clone)
        started = time.monotonic()
        serves = command.startswith(("vclr ui", "vclr serve"))
        output = open_page(clone, command) if serves else clone.run(in_small(command))
        check(clone, output)
        print(f"{time.monotonic() - started:6.1f} s  {command}")
    assert not {start: left for start, left in expected.items() if left}, "the README has these no longer"
