"""The command line: what a person does wrong is one line, and nothing half-written stays behind."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.generate.importers.as_labelme import write_labelme
from tests.shared import PHOTOS
from vclr.cli import app
from vclr.cli.examples import EXAMPLES
from vclr.cli.options import finite
from vclr.coco.annotations import load_coco
from vclr.config import load_config
from vclr.errors import UsageError
from vclr.files import read_json, write_json
from vclr.generate.pack import pack_folder
from vclr.pictures import write_png

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "configs" / "experiment" / "demo.yaml"
VERBS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def run(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "vclr.cli", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def refused(exit_code: int, *arguments: str | Path) -> str:
    """Return the one line with which a command ends."""
    done = run(*arguments, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == exit_code, done.stderr
    lines = [
        line for line in done.stderr.splitlines() if not line.startswith(("training on", "training stopped"))
    ]  # its log
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("vclr: ")
    return lines[0]


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def world(tmp_path: Path) -> dict[str, Any]:
    """A sound data set of two photos in `tmp_path`; a test damages and writes it."""
    for name in ("a.png", "b.png"):
        write_png(tmp_path / "images" / name, np.full((40, 60, 3), 90, np.uint8))
    images = [
        {"id": number, "file_name": name, "height": 40, "width": 60} for number, name in enumerate(("a.png", "b.png"))
    ]
    annotations = [{"id": number, "image_id": number, "category_id": 1, "bbox": [4, 4, 20, 20]} for number in range(2)]
    names = ("disk", "square", "triangle", "ellipse", "star", "cross", "ring")
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
    }


def train_arguments(folder: Path, *overrides: str) -> list[str]:
    paths = [f"data.{part}.annotations={folder}/a.json" for part in ("train", "test")]
    paths += [f"data.{part}.images={folder}/images" for part in ("train", "test")]
    paths += [f"data.{part}.proposals=''" for part in ("train", "test")]
    settings = ["views.weights={natural: 1, depth: 0, style: 0}", "data.train.views={depth: '', style: ''}"]
    small = ["model.num_queries=10", "model.criterion.num_points=16", "dataloader.train.mapper.short_edge_length=[40]"]
    small += ["dataloader.train.total_batch_size=1", "dataloader.test.mapper.short_edge_length=40", "train.device=cpu"]
    short = ["train.max_iter=1", f"train.output_dir={folder}/run", "tracking.enabled=False"]
    short += ["evaluation.groups={known: [disk], novel: [ring]}", "model.criterion.weight_dict.loss_consistency=0"]
    return ["train", "--config-file", str(DEMO), "--quiet", *paths, *settings, *small, *short, *overrides]


# --- help and misuse -------------------------------------------------------------------------------------------------


def test_help_is_quick_and_loads_no_torch():
    code = "import sys; sys.argv = ['vclr', '--help']\nimport vclr.cli\ntry: vclr.cli.main()\nexcept SystemExit: pass\n"
    heavy = ("torch", "mlflow", "scipy", "skimage", "matplotlib", "numpy", "PIL", "omegaconf", "yaml")
    code += f"print('loaded', sorted({set(heavy)} & set(sys.modules)))"
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.perf_counter() - started < 10
    assert "loaded []" in done.stdout
    for verb in ("train", "evaluate", "score", "predict", "split"):
        assert verb in VERBS
        assert verb in done.stdout


def test_first_picture_waits_for_nothing_that_it_does_not_need():
    """The imports of `vclr predict` are most of its time for one small photo."""
    heavy = (
        "mlflow",
        "scipy",
        "skimage",
        "matplotlib",
        "pandas",
        "transformers",
        "cv2",
        "sqlalchemy",
        "snakemake",
        "dvc",
    )
    code = f"import sys, vclr.evaluation.predict, vclr.cli; print(sorted({set(heavy)} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str):
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_version():
    assert run("--version").stdout.startswith("vclr ")


@pytest.mark.parametrize(
    "arguments", [["trian"], ["train", "--resum"], ["score", "one.json"], ["split", "voc"], ["predict"]], ids=" ".join
)
def test_misuse_is_exit_2_without_a_traceback(arguments: list[str]):
    done = run(*arguments, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_unknown_key_is_one_line_and_exit_2(tmp_path: Path):
    line = refused(2, "train", "model.num_query=5", f"train.output_dir={tmp_path}/run")
    assert line == "vclr: command line: unknown key 'model.num_query'; nearest: model.num_queries"
    assert listing(tmp_path) == {}


def verbs_with_params() -> dict[str, Any]:
    """Return every verb, those of groups included, by the words after `vclr`."""
    found = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        found |= {f"{name} {verb}": own for verb, own in inner.items()}
        if not inner or command.invoke_without_command:
            found[name] = command
    return found


def test_every_option_for_a_number_refuses_what_is_not_finite():
    checked = 0
    for verb, command in verbs_with_params().items():
        for name, hint in get_type_hints(inspect.unwrap(command.callback), include_extras=True).items():
            kind, *options = get_args(hint) if get_origin(hint) is Annotated else (None,)
            if float in (kind, *get_args(kind)):
                assert options[0].callback is finite, f"vclr {verb}: {name}"
                checked += 1
    assert checked > 10
    line = refused(2, "serve", "--checkpoint", "x.pt", "--max-megapixels", "inf")
    assert line.startswith("vclr: serve: invalid value for '--max-megapixels': must be a finite number; example: ")


@pytest.mark.parametrize("verb", sorted(verbs_with_params()))
def test_every_verb_has_an_example_that_it_accepts(verb: str):
    command = verbs_with_params()[verb]
    example = command.epilog.removeprefix("Example: ")
    program, *words = shlex.split(example)
    assert (program, words[: len(verb.split())]) == ("vclr", verb.split())
    arguments = words[len(verb.split()) :]
    context = command.make_context("vclr", arguments)  # parses the options, and does nothing
    assert not context.args
    load_config(None, context.params.get("overrides") or ())
    assert set(EXAMPLES) == set(verbs_with_params())


@pytest.mark.parametrize("verb", sorted(verbs_with_params()))
def test_config_file_has_a_short_name(verb: str):
    options = [parameter.opts for parameter in verbs_with_params()[verb].params]
    assert all("-c" in names for names in options if "--config-file" in names)


def test_alone_it_says_what_to_do_first():
    done = run()
    before, _, after = done.stdout.partition("Commands")
    for first in ("make demo", "vclr doctor data", "vclr fetch"):
        assert first in before
    assert "train" in after
    assert "--install-completion" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_verbs(shell: str):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_VCLR_COMPLETE": f"complete_{shell}"}
    environment |= {"COMP_WORDS": "vclr tra", "COMP_CWORD": "1"}  # bash
    environment |= {"_TYPER_COMPLETE_ARGS": "vclr tra", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    code = "from vclr.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    words = {"bash": r"\w+", "zsh": r'(?<=")\w+(?=":)', "fish": r"^\w+(?=\t)"}[shell]
    assert re.findall(words, done.stdout, flags=re.MULTILINE) == ["train", "track"]


def test_verbs_without_anything_say_what_to_type():
    assert refused(2, "train").startswith(
        "vclr: train: needs a configuration or data; example: vclr train --config-file"
    )
    assert refused(2, "split").startswith("vclr: split: missing argument 'name'; example: vclr split nonvoc --annot")
    assert refused(2, "train", "--resum").startswith("vclr: train: no such option: --resum")
    near = "Did you mean 'train', 'track'?"
    assert refused(2, "trian") == f"vclr: no such command 'trian'. {near} `vclr --help` lists the verbs"
    assert refused(2, "ui", "--port", "70000").startswith("vclr: ui: invalid value for '--port'")


def test_gpu_on_a_build_without_is_one_line(tmp_path: Path, world: dict[str, Any]):
    import torch

    if torch.version.cuda or torch.version.hip:
        pytest.skip("this torch is built for GPUs")
    write_json(tmp_path / "a.json", world)
    line = refused(2, *train_arguments(tmp_path, "train.device=cuda"))
    assert line.startswith("vclr: train.device=cuda: torch ")
    assert "is built without CUDA; install a build for GPUs (https://pytorch.org/get-started/locally)" in line
    assert not (tmp_path / "run").exists()


def test_mistyped_paths_and_keys_name_the_nearest(tmp_path: Path, world: dict[str, Any]):
    write_json(tmp_path / "a.json", world)
    typo = f"data.train.annotations={tmp_path}/aa.json"
    assert refused(1, *train_arguments(tmp_path, typo)).endswith(f"aa.json: does not exist; nearest: {tmp_path}/a.json")
    split = ["split", "toy_known", "--output", tmp_path / "out.json", "--annotations"]
    assert refused(1, *split, tmp_path / "A.json").endswith(f"nearest: {tmp_path}/a.json")
    assert refused(2, "train", "train.lr=0.1").endswith("unknown key 'train.lr'; nearest: optimizer.lr")


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}], ids=str)
def test_terminal_without_utf8(tmp_path: Path, world: dict[str, Any], variables: dict[str, str]):
    """What it cannot show becomes an escape; names in files that are written stay as they are."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONCOERCECLOCALE": "0", **variables}
    world["categories"][0]["name"] = "Gefäß"
    write_json(tmp_path / "a.json", world)
    output = tmp_path / "größe.json"
    split = ["split", "one_class", "--annotations", tmp_path / "a.json", "--output", output]
    for arguments, code in ((split, 0), (["--help"], 0), (["split", "-h"], 0), (["score", output, output], 1)):
        command = [sys.executable, "-m", "vclr.cli", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
    assert read_json(output)["images"] == world["images"]


@pytest.mark.parametrize(
    "verb", ["evaluate", "probe", "report", "audit", "proposals", "views", "split", "repair", "score"]
)
def test_output_that_cannot_be_made_is_found_before_the_work(tmp_path: Path, verb: str):
    """The inputs do not exist either: that the output is refused shows that it is asked about first."""
    (tmp_path / "file").touch()
    own = {
        "evaluate": ["--config-file", DEMO],
        "probe": ["--config-file", DEMO, "--checkpoint", "absent"],
        "report": ["--experiments", "demo"],
        "audit": [],
        "proposals": ["--images", "absent"],
        "views": ["--images", "absent", "--view", "edge"],
        "split": ["toy_known", "--annotations", "absent.json"],
        "repair": ["absent.json"],
        "score": ["absent.json", "absent.json"],
    }
    line = refused(2, verb, *own[verb], "--output", tmp_path / "file" / "out")
    assert line.endswith("/file is a file, not a folder")
    assert listing(tmp_path) == {"file": b""}


def test_missing_configuration_is_one_line_and_exit_2(tmp_path: Path):
    assert "does not exist" in refused(2, "train", "--config-file", tmp_path / "absent.yaml")


# --- bad input -------------------------------------------------------------------------------------------------------

BAD_WORLDS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "annotation without its image": (
        lambda world: world["annotations"][1].update(image_id=9),
        "a.json: annotations[1] (id 1): image 9 is not in `images`",
    ),
    "box of three numbers": (
        lambda world: world["annotations"][1].update(bbox=[1, 1, 5]),
        "a.json: annotations[1] (id 1): bbox [1, 1, 5] is not [x, y, width, height]",
    ),
    "path out of the folder": (
        lambda world: world["images"][1].update(file_name="../../etc/passwd"),
        "a.json: images[1]: file_name '../../etc/passwd' leaves the image folder",
    ),
    "damaged run lengths": (
        lambda world: world["annotations"][0].update(segmentation={"size": [40, 60], "counts": "1000"}),
        "a.json: annotations[0] (id 0): RLE counts are damaged",
    ),
    "polygon out of reach": (
        lambda world: world["annotations"][0].update(segmentation=[[0, 0, 1e9, 0, 1e9, 1e9]]),
        "a.json: annotations[0] (id 0): polygon 0 contains a number that cannot be a coordinate",
    ),
}


# Every case by the quickest verb, and what the others make of some.
CASES = [("split", case) for case in BAD_WORLDS]
CASES += [("train", case) for case in list(BAD_WORLDS)[:3]] + [("score", "damaged run lengths")]


@pytest.mark.parametrize(("verb", "case"), CASES)
def test_bad_annotations_are_one_line(tmp_path: Path, world: dict[str, Any], verb: str, case: str):
    change, says = BAD_WORLDS[case]
    change(world)
    write_json(tmp_path / "a.json", world)
    write_json(tmp_path / "found.json", [])
    commands = {
        "split": ["split", "toy_known", "--annotations", f"{tmp_path}/a.json", "--output", f"{tmp_path}/part.json"],
        "score": ["score", f"{tmp_path}/a.json", f"{tmp_path}/found.json", "--output", f"{tmp_path}/metrics.json"],
        "train": train_arguments(tmp_path),
    }
    before = listing(tmp_path)
    assert says in refused(1, *commands[verb])
    assert listing(tmp_path) == before


def test_json_cut_off_is_one_line(tmp_path: Path, world: dict[str, Any]):
    (tmp_path / "a.json").write_text(json.dumps(world)[:100])
    before = listing(tmp_path)
    assert "a.json: line 1 column" in refused(1, *train_arguments(tmp_path))
    assert listing(tmp_path) == before


def test_missing_photo_is_one_line(tmp_path: Path, world: dict[str, Any]):
    write_json(tmp_path / "a.json", world)
    (tmp_path / "images" / "b.png").unlink()
    assert "a.json: image 1: file" in refused(1, *train_arguments(tmp_path))


@pytest.mark.parametrize("workers", [0, 1])
def test_photo_that_is_none_is_one_line(tmp_path: Path, world: dict[str, Any], workers: int):
    """It is found when it is read, by the training itself or by a worker."""
    write_json(tmp_path / "a.json", world)
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).write_text("not an image")
    line = refused(1, *train_arguments(tmp_path, f"dataloader.train.num_workers={workers}"))
    assert ".png: is not an image" in line
    assert not (tmp_path / "run" / "DONE").exists()
    assert not (tmp_path / "run" / "checkpoints" / "last.pt").exists()


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_photo_damaged_in_its_zip_is_one_line(tmp_path: Path, world: dict[str, Any], workers: int):
    write_json(tmp_path / "a.json", world)
    zipped = pack_folder(tmp_path / "images", remove=True, quiet=True)
    zipped.write_bytes(zipped.read_bytes().replace(b"IDAT", b"IDOT"))
    line = refused(1, *train_arguments(tmp_path, f"dataloader.train.num_workers={workers}"))
    assert "images.zip/" in line
    assert ".png: is damaged: its checksum differs" in line


def test_folders_are_packed_and_read_from_their_zips(tmp_path: Path, world: dict[str, Any]):
    write_json(tmp_path / "a.json", world)
    images = tmp_path / "images"
    assert run("pack", images, "--remove", "--quiet").stdout.strip() == f"{images}.zip"
    assert not images.exists()
    run("views", "--view", "edge", "--images", images, "--output", tmp_path / "edge", "--quiet")
    run("proposals", "--images", f"{images}.zip", "--output", tmp_path / "p.json", "--quiet")
    assert [image["file_name"] for image in read_json(tmp_path / "p.json")["images"]] == ["a.png", "b.png"]
    assert "images: no such folder" in refused(1, "pack", images)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([{"image_id": 9, "score": 0.5, "bbox": [1, 1, 2, 2]}], "found.json: [0]: image_id 9"),
        ([{"image_id": 0, "score": "high", "bbox": [1, 1, 2, 2]}], "found.json: [0]: score 'high'"),
        ([{"image_id": 0, "score": 0.5, "bbox": [1, 1, -2, 2]}], "found.json: [0]: bbox"),
        ([None], "found.json: [0]: is not an object"),
        ({"a": 1}, "found.json: is neither a list of COCO results nor a COCO json with scores"),
        (
            [{"image_id": 0, "score": 0.5, "segmentation": {"size": [40, 60], "counts": "garbage"}}],
            "found.json: [0]: RLE counts are damaged",
        ),
    ],
)
def test_bad_predictions_are_one_line(tmp_path: Path, world: dict[str, Any], found: Any, says: str):
    write_json(tmp_path / "a.json", world)
    write_json(tmp_path / "found.json", found)
    assert says in refused(1, "score", tmp_path / "a.json", tmp_path / "found.json", "--output", tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_output_that_cannot_be_written_is_one_line(tmp_path: Path, world: dict[str, Any]):
    write_json(tmp_path / "a.json", world)
    before = listing(tmp_path)
    output = tmp_path / "images"  # a folder
    assert "images: is a folder" in refused(
        2, "split", "toy_known", "--annotations", tmp_path / "a.json", "--output", output
    )
    assert listing(tmp_path) == before


# --- what works ------------------------------------------------------------------------------------------------------


def test_split(tmp_path: Path, world: dict[str, Any]):
    write_json(tmp_path / "a.json", world)
    world["annotations"][1]["category_id"] = 7
    write_json(tmp_path / "a.json", world)
    done = run("split", "toy_novel", "--annotations", tmp_path / "a.json", "--output", tmp_path / "novel.json")
    assert "1 image, 1 object" in done.stdout
    assert [image["file_name"] for image in read_json(tmp_path / "novel.json")["images"]] == ["b.png"]


def test_split_is_compared_with_a_published_json(tmp_path: Path, world: dict[str, Any]):
    write_json(tmp_path / "a.json", world)
    split = ["split", "toy_known", "--annotations", tmp_path / "a.json"]
    assert "needs --output FILE, or --compare FILE" in refused(2, *split)
    run(*split, "--output", tmp_path / "part.json", "--images", tmp_path / "images")
    assert read_json(tmp_path / "part.record.json")["objects_by_class"]["disk"] == 2
    before = listing(tmp_path)
    done = run(*split, "--compare", tmp_path / "part.json")
    assert done.stdout == f"{tmp_path}/part.json: is the split toy_known of {tmp_path}/a.json\n"
    world["annotations"].pop()
    write_json(tmp_path / "published.json", world)
    done = run(*split, "--compare", tmp_path / "published.json", check=False)
    assert done.returncode == 1
    lines = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert lines == ["categories only in the file", "annotations only in the split"]
    (tmp_path / "published.json").unlink()
    assert listing(tmp_path) == before


def test_audit_of_an_experiment(tmp_path: Path, world: dict[str, Any]):
    """Of the sets that its configuration names; `vclr split` says the same of a split and a training set."""
    write_json(tmp_path / "a.json", world)
    overrides = train_arguments(tmp_path)[4:]
    common = ["audit", "--config-file", DEMO, "--quiet", "--output", tmp_path / "leaks.json"]
    says = "2 of 2 images of a.json are in a.json (2 name, 4 bytes)"  # the two photos are alike
    no_proposals_yet = f"data.train.proposals={tmp_path}/absent.json"
    assert run(*common, *overrides, no_proposals_yet).stdout == f"{says}\n"
    leaks = read_json(tmp_path / "leaks.json")
    assert [pair["evaluation"] for pair in leaks["first_pairs"]] == ["a.png", "a.png", "b.png", "b.png"]
    assert "data.train.annotations=absent.json: does not exist" in refused(
        1, *common, *overrides, "data.train.annotations=absent.json"
    )

    split = ["split", "toy_known", "--annotations", tmp_path / "a.json", "--train", tmp_path / "a.json"]
    assert "needs --output FILE, whose record says what is found" in refused(
        2, *split, "--compare", tmp_path / "a.json"
    )
    split += ["--output", tmp_path / "part.json", "--train-images", tmp_path / "images", "--quiet"]
    assert "--train-images: needs --train FILE and --images FOLDER" in refused(2, *split)
    assert "2 of 2 images of a.json are in a.json" in run(*split, "--images", tmp_path / "images").stdout
    assert read_json(tmp_path / "part.record.json")["leaks"] == leaks


def test_score_prints_and_writes_the_same(tmp_path: Path, world: dict[str, Any]):
    write_json(tmp_path / "a.json", world)
    write_json(tmp_path / "found.json", [{"image_id": 0, "score": 0.9, "bbox": [4, 4, 20, 20]}])
    done = run("score", tmp_path / "a.json", tmp_path / "found.json", "--output", tmp_path / "m.json")
    assert json.loads(done.stdout) == read_json(tmp_path / "m.json")
    assert read_json(tmp_path / "m.json")["box_ar@100"] == pytest.approx(50)


@pytest.mark.slow
def test_train_evaluate_predict(tmp_path: Path, world: dict[str, Any]):
    """The three verbs on each other's output; a second training in the folder is refused, --resume is not."""
    write_json(tmp_path / "a.json", world)
    train = train_arguments(tmp_path)
    run(*train)
    assert (tmp_path / "run" / "DONE").is_file()
    assert "holds a training; --resume continues it" in refused(2, *train)
    run(*train, "--resume")

    checkpoint = tmp_path / "run" / "checkpoints" / "last.pt"
    overrides = [argument for argument in train[4:] if "=" in argument]
    common = ["evaluate", "--config-file", str(DEMO), "--quiet", *overrides]
    run(*common, "--checkpoint", checkpoint, "--output", tmp_path / "trained")
    run(*common, "--output", tmp_path / "untrained")
    for name in ("trained", "untrained"):
        assert read_json(tmp_path / name / "metrics.json")["num_images"] == 2
        assert isinstance(read_json(tmp_path / name / "predictions.json"), list)
    assert "no such checkpoint" in refused(1, *common, "--checkpoint", "absent.pt", "--output", tmp_path / "none")
    assert not (tmp_path / "none").exists()

    run("predict", "--checkpoint", checkpoint, tmp_path / "images" / "a.png", "--output", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.png"]
    (tmp_path / "bad.png").write_text("not an image")
    done = run("predict", "--checkpoint", checkpoint, tmp_path / "bad.png", "--output", tmp_path / "out", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"vclr: {tmp_path}/bad.png: is not an image"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.png"]


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED")
def test_imported_photos_are_trained_on_and_evaluated(tmp_path: Path):
    """From labelme's files and a folder of photos to metrics, and nothing for the doctor to find on the way."""
    coco = load_coco(PHOTOS / "annotations_val.json")
    coco["images"] = [image for image in coco["images"] if image["width"] > image["height"]][:4]
    for image in coco["images"]:
        (tmp_path / "images").mkdir(exist_ok=True)
        shutil.copy(PHOTOS / "images" / image["file_name"], tmp_path / "images")
    (tmp_path / "labels").mkdir()
    write_labelme(coco, tmp_path / "labels")
    imported = ["import", "labelme", tmp_path / "labels", "--images", tmp_path / "images"]
    assert "a.json: 4 images" in run(*imported, "--output", tmp_path / "a.json").stdout
    run("views", "--view", "pseudo_depth", "--images", tmp_path / "images", "--output", tmp_path / "depth")

    small = ROOT / "configs" / "small_detector.yaml"
    settings = [setting for setting in train_arguments(tmp_path)[4:] if "evaluation.groups" not in setting]
    settings += [f"data.train.views.depth={tmp_path}/depth", "views.weights.depth=1"]
    done = run("doctor", "data", "--config-file", small, "--quiet", *settings)
    assert ": 0 errors, 0 warnings" in done.stdout, done.stdout
    run("train", "--config-file", small, "--quiet", *settings)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.pt"
    evaluation = ["evaluate", "--config-file", small, "--checkpoint", checkpoint, "--output", tmp_path / "results"]
    run(*evaluation, "--quiet", *settings)
    metrics = read_json(tmp_path / "results" / "metrics.json")
    assert metrics["num_images"] == 4
    assert metrics["mask_ar@100"] is not None


def test_several_gpus_and_evaluation_without_weights_are_misuse(tmp_path: Path):
    assert "--num-gpus -1" in refused(2, "train", "--num-gpus", "-1")
    assert "needs train.init_checkpoint" in refused(2, "train", "--eval-only", f"train.output_dir={tmp_path}/run")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--replay", "a.pt", "--resume"], "--replay: does not use --resume; leave it out"),
        (["--replay", "a.pt", "--num-gpus", "2"], "--replay: does not use --num-gpus; leave it out"),
        (["--replay", "a.pt", "--eval-only"], "--replay: does not use --eval-only; leave it out"),
        (["--replay", "a.pt", "optimizer.lr=1"], "--replay: does not use optimizer.lr=1; leave it out"),
        (
            ["--eval-only", "--resume", "train.init_checkpoint=a.pt"],
            "--eval-only: does not use --resume; leave it out",
        ),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "",
)
def test_options_that_would_be_dropped_are_misuse(options: list[str], says: str):
    done = CliRunner().invoke(app, ["train", *options])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == says


def test_a_shard_that_cannot_be_is_misuse(tmp_path: Path):
    evaluate = ["evaluate", "--config-file", DEMO, "--output", tmp_path / "out"]
    assert refused(2, *evaluate, "--shard", "5/4") == "vclr: --shard 5/4: must be K/N, with K from 1 to N"
    assert "one of them" in refused(2, *evaluate, "--shard", "1/4", "--predictions", tmp_path / "found.json")
    for verb in ("views", "proposals"):
        start = [verb, "--output", tmp_path / "out"]
        assert "--join PART" in refused(2, *start)
        assert "--join and --shard" in refused(2, *start, "--join", tmp_path, "--shard", "1/2")
        assert "--join and --batch-size" in refused(2, *start, "--join", tmp_path, "--batch-size", "2")
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("verb", ["views", "proposals"])
@pytest.mark.parametrize("option", ["--batch-size", "--num-gpus"])
def test_an_option_that_a_join_would_drop_is_misuse(verb: str, option: str, tmp_path: Path):
    done = CliRunner().invoke(app, [verb, "--output", f"{tmp_path}/out", "--join", str(tmp_path), option, "1"])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == f"--join and {option}: give one of them, not both"


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_doctor_lists_what_is_wrong_with_data(tmp_path: Path, world: dict[str, Any]):
    write_json(tmp_path / "a.json", world)
    files = ["doctor", "data", "--annotations", tmp_path / "a.json", "--images", tmp_path / "images", "--quiet"]
    done = run(*files)
    assert done.stdout.splitlines()[-1] == "2 images, 2 annotations: 0 errors, 0 warnings"
    world["annotations"] = [{**world["annotations"][0], "id": number, "image_id": 9} for number in range(5)]
    world["annotations"].append({"id": 5, "image_id": 1, "category_id": 1, "bbox": [4, 4, 0, 20]})
    write_json(tmp_path / "a.json", world)
    done = run(*files, "--limit", "2", "--output", tmp_path / "report.json", check=False)
    assert done.returncode == 1
    *_, first, second, more, none, last = done.stdout.splitlines()
    entry = f"{tmp_path}/a.json: annotations"
    assert first == f"error    annotation without image: {entry}[0] (id 0): image 9 is not in `images`; " + (
        "refused before anything starts"
    )
    assert f"{entry}[1]" in second
    assert more == f"{'':8} and 3 more: annotation without image"
    assert none.endswith("a.json: has no image with an object; refused before anything starts")
    assert last == "2 images, 6 annotations: 6 errors, 3 warnings"
    report = read_json(tmp_path / "report.json")
    assert (report["images"], report["annotations"], report["errors"], report["warnings"]) == (2, 6, 6, 3)
    levels = [finding["level"] for finding in report["findings"]]
    assert (levels.count("error"), levels.count("warning")) == (6, 3)


def test_doctor_checks_a_configuration_as_train_takes_it(tmp_path: Path, world: dict[str, Any]):
    write_json(tmp_path / "a.json", world)
    settings = [argument for argument in train_arguments(tmp_path)[1:] if argument != "--quiet"]
    done = run("doctor", "data", *settings)
    assert done.stdout.splitlines()[-1] == "2 images, 2 annotations: 0 errors, 0 warnings"
    (tmp_path / "images" / "b.png").write_text("not an image")
    done = run("doctor", "data", *settings, check=False)
    assert done.returncode == 1
    assert "images/b.png: is not an image; stops training when it is read; stops evaluation" in done.stdout
    assert "unknown key 'data.tran'" in refused(2, "doctor", "data", "data.tran=1")


def test_doctor_is_told_one_data_set(tmp_path: Path):
    assert "needs --annotations FILE and --images FOLDER, or" in refused(2, "doctor", "data")
    for other in (["--config-file", str(DEMO)], ["train.seed=1"], []):
        assert "go together" in refused(2, "doctor", "data", "--annotations", tmp_path / "a.json", *other)
    files = ["--annotations", tmp_path / "a.json", "--images", tmp_path]
    assert "--view depth: must be NAME=FOLDER" in refused(2, "doctor", "data", *files, "--view", "depth")


def test_doctor_of_a_machine_without_slurm(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    done = run("doctor", "slurm", "--profile", ROOT / "slurm", "--wait", "1", "--no-job", check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "error    commands: not found: sbatch, srun, squeue, scontrol, scancel, sinfo",
        "         -> log in to a login node of the cluster, or load its module (module load slurm)",
    ]


# --- import ----------------------------------------------------------------------------------------------------------


def test_imports_that_cannot_be_are_one_line(tmp_path: Path):
    output = ["--output", tmp_path / "a.json"]
    assert "absent: no such folder" in refused(1, "import", "labelme", tmp_path / "absent", *output)
    assert "--images FOLDER and --masks FOLDER" in refused(2, "import", "voc", *output)
    assert listing(tmp_path) == {}
