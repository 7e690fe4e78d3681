"""The inputs of docs/inputs.md that are not data: outputs, checkpoints, configurations, command lines."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.inputs.case import Answer, Case, Json
from vclr.config import dump_config, load_config
from vclr.engine.run_folder import RunFolder
from vclr.errors import UsageError
from vclr.files import write_json
from vclr.option_names import of_the_command_line


def output_is_input(case: Case) -> Answer:
    write_json(Path("a.json"), case.json)
    return case.vclr("split", "one_class", "--annotations", "a.json", "--output", "a.json")


def output_of_others(case: Case) -> Answer:
    write_json(Path("a.json"), case.json)
    Path("notes.json").write_text('{"mine": 1}')
    return case.vclr("split", "one_class", "--annotations", "a.json", "--output", "notes.json")


def output_is_a_folder(case: Case) -> Answer:
    write_json(Path("a.json"), case.json)
    return case.vclr("split", "one_class", "--annotations", "a.json", "--output", "photos")


def predict_into_photos(case: Case) -> Answer:
    Path("last.pt").touch()
    return case.vclr("predict", "--checkpoint", "last.pt", "--output", "photos", "photos/a.png")


def predict_over_others(case: Case) -> Answer:
    Path("last.pt").touch()
    write_json(Path("found/a.json"), {"mine": 1})
    return case.vclr("predict", "--checkpoint", "last.pt", "--output", "found", "photos/a.png")


def named_photo(name: str) -> Callable[[Case], Answer]:
    return lambda case: case.vclr("predict", "--checkpoint", "last.pt", "--output", "found", name)


def content_of_a_checkpoint(**changes: Any) -> Json:
    config = load_config(None, ["model.num_queries=5"])
    return {"config": dump_config(config), "model": {"w": torch.zeros(3)}, "teacher": None} | changes


def text_for_a_checkpoint(case: Case) -> Answer:
    Path("a.pt").write_text("hello")
    return case.vclr("convert", "a.pt", "--output", "b.pth")


def zip_for_a_checkpoint(case: Case) -> Answer:
    with zipfile.ZipFile("a.pt", "w") as archive:
        archive.writestr("a.txt", "hello")
    return case.vclr("convert", "a.pt", "--output", "b.pth")


class Payload:
    """Would leave a folder if it were executed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def code_in_a_checkpoint(case: Case) -> Answer:
    Path("a.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    said = case.vclr("convert", "a.pt", "--output", "b.pth")
    assert not Path("executed").exists()
    return said


def without_a_key(case: Case) -> Answer:
    content = content_of_a_checkpoint(iteration=1, optimizer={}, scheduler={}, rng={})
    return case.convert(content)


def not_finite(case: Case) -> Answer:
    return case.convert(content_of_a_checkpoint(model={"w": torch.full((3,), torch.nan)}))


def own_base(case: Case) -> Answer:
    Path("c.yaml").write_text("base: b.yaml\n")
    return case.config("base: c.yaml\n")


def overrides(*arguments: str) -> Callable[[Case], Answer]:
    return lambda case: case.config("", *arguments)


def group_of_a_class(case: Case) -> Answer:
    write_json(Path("a.json"), case.json)
    files = [
        f"data.{part}.{key}={value}"
        for part in ("train", "test")
        for key, value in (("annotations", "a.json"), ("images", "photos"))
    ]
    return case.config("", *files, "evaluation.groups={novel: [cap]}")


def missing_path(case: Case) -> Answer:
    write_json(Path("a.json"), case.json)
    settings = ["data.train.annotations=aa.json", "data.train.images=photos"]
    settings += ["views.weights={natural: 1}", "train.output_dir=run", "train.device=cpu", "tracking.enabled=false"]
    return case.vclr("train", *settings)


def resumed_in(output_dir: str) -> Callable[[Case], Answer]:
    """Resume the training of `runs/mine` in another folder."""

    def ask(case: Case) -> Answer:
        mine = Path("runs/mine")
        (mine / "checkpoints").mkdir(parents=True)
        (mine / "checkpoints" / "last.pt").touch()
        (mine / "config.yaml").write_text(dump_config(load_config(None, [f"train.output_dir={mine}"])))
        with pytest.raises(UsageError) as refused, of_the_command_line():
            RunFolder(load_config(None, [f"train.output_dir={output_dir}"])).open(resume=True)
        return refused.value.exit_code, str(refused.value)

    return ask


def launched_in_part(case: Case) -> Answer:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WORLD_SIZE", "2")
        for name in ("MASTER_ADDR", "RANK", "LOCAL_RANK"):
            environment.delenv(name, raising=False)
        return case.vclr("train", "train.output_dir=run", "train.device=cpu")


# By the first cell of a row.
PROGRAMS: dict[str, Callable[[Case], Answer]] = {
    "an `--output` that the command reads": output_is_input,
    "an `--output` that another program wrote": output_of_others,
    "an `--output` that is a folder": output_is_a_folder,
    "`vclr predict` into the folder of the photos": predict_into_photos,
    "`vclr predict` over files that are not its results": predict_over_others,
    "an address for a photo (`vclr predict`, `vclr export --photo`)": named_photo("https://a.example/b.jpg"),
    "an address of a file for a photo": named_photo("file:///photos/a.png"),
    "an empty name for a photo, from an empty variable, say": named_photo(""),
    "a text or a picture": text_for_a_checkpoint,
    "another zip": zip_for_a_checkpoint,
    "a pickle with code": code_in_a_checkpoint,
    "a checkpoint without one of its parts": without_a_key,
    "weights that are not finite": not_finite,
    "something else than a dictionary": lambda case: case.convert([1]),
    "a file that is its own `base`": own_base,
    "a `base` that does not exist": lambda case: case.config("base: c.yaml\n"),
    "a value that holds itself": lambda case: case.config("views: &a {x: *a}\n"),
    "a key that does not exist": overrides("train.lr=0.1"),
    "a value of another type": overrides("train.max_iter=many"),
    "a milestone that never comes": overrides("optimizer.milestones=[48000]", "train.max_iter=30000"),
    "a YAML mapping without a space": overrides("views.weights={natural:1}"),
    "an unknown protocol": overrides("evaluation.protocols=[uvoo]"),
    "a protocol named twice": overrides("evaluation.protocols=[uvo,uvo]"),
    "a test set of your own without images": overrides("evaluation.test_sets={mine: {annotations: a.json}}"),
    "a data set that the catalog does not have": overrides("dataloader.train.dataset.names=toy_trian"),
    "a class that the test set does not have": group_of_a_class,
    "a list of classes that does not exist": overrides("evaluation.groups={known: vok}"),
    "a file of data that does not exist": missing_path,
    "a view that does not exist": overrides("views.weights={natural: 1, dept: 1}"),
    "`WORLD_SIZE` in the environment without `MASTER_ADDR`": launched_in_part,
    "`vclr train --resume` in a folder whose name is mistyped": resumed_in("runs/mien"),
    "a seed named twice (`vclr report --seeds 0,0`)": lambda case: case.vclr(
        "report", "--experiments", "a", "--seeds", "0,0", "--output", "x"
    ),
}
