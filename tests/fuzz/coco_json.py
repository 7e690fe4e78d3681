"""Annotations: each value of a COCO json odd in each way, and its text damaged."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from tests.fuzz.judge import Trial
from tests.fuzz.loading import check_samples, list_usable, load_training
from tests.fuzz.odd import ODD, SECRET, alter_json, damage_text, list_places, put
from tests.fuzz.sound import coco


def make(number: int, folder: Path) -> list[Trial]:
    """Write the annotations of a case, and return the commands that read them."""
    chance = random.Random(f"coco {number}")
    path = folder / "annotations.json"
    if number % 5 == 4:
        path.write_bytes(damage_text(json.dumps(coco()).encode(), chance))
    else:
        content = coco()
        places = list_places(content)
        if number % 5 < 2:  # one odd value, at each place in turn
            content = put(content, places[(number // 5 * 2 + number % 5) % len(places)], chance.choice(ODD))
        else:
            content = alter_json(content, chance)
        path.write_text(json.dumps(content).replace(SECRET, str(folder / "beside/secret.png")), encoding="utf-8")
    return trials(number, folder, path)


def trials(number: int, folder: Path, path: Path) -> list[Trial]:
    """Return the commands that read an annotations json: the loader, the doctor, and another by turns."""
    out, names = folder / "out", (path.name, f"{folder}/images/")  # a photo that is not what its entry says
    report = out / "doctor.json"
    doctor = ["doctor", "data", "--annotations", str(path), "--images", str(folder / "images"), "--output", str(report)]
    succeeded: list[bool] = []

    def check_loaded(found: Any) -> None:
        succeeded.append(True)
        check_samples(found, path)

    def check_agreement(_: Any) -> None:
        assert succeeded, "the doctor finds nothing wrong with what the loader refuses"

    return [
        Trial(load_training(folder, path), names, (out,), check_loaded),
        Trial([*doctor, "--workers", "1", "--quiet"], names, (out,), check_agreement, reports=True),
        *([_another(number // 2, folder, path)] if number % 2 else []),
    ]


def _another(number: int, folder: Path, path: Path) -> Trial:
    out, images, names = folder / "out", str(folder / "images"), (path.name, f"{folder}/images/")
    results, sound = str(folder / "results.json"), str(folder / "sound.json")
    tiny = ["--config-file", str(folder / "tiny.yaml")]
    trained, tested = (
        [f"data.{part}.annotations={path}", f"data.{part}.images={images}"] for part in ("train", "test")
    )
    sound_test = [f"data.test.annotations={sound}", f"data.test.images={images}"]
    verbs: list[tuple[list[str], Any]] = [
        (["score", str(path), results, "--output", str(out / "m.json")], lambda _: check_metrics(out / "m.json")),
        (["split", "one_class", "--annotations", str(path), "--output", str(out / "s.json")], _check_split(path, out)),
        (["split", "toy_known", "--annotations", str(path), "--output", str(out / "s.json"), "--images", images], None),
        (
            ["evaluate", *tiny, "--predictions", results, "--output", str(out), *tested],
            lambda _: check_metrics(out / "metrics.json"),
        ),
        (["split", "one_class", "--annotations", sound, "--output", str(out / "s.json"), "--train", str(path)], None),
        (
            ["repair", str(path), "--output", str(out / "r.json")],
            lambda _: check_samples(load_training(folder, out / "r.json")(), path),
        ),
        (["licenses", *tiny, *trained, *sound_test], None),
        (["audit", *tiny, *trained, *sound_test, "--output", str(out / "leaks.json"), "--quiet"], None),
        (["proposals", "--images", images, "--annotations", str(path), "--output", str(out / "p.json"), "--quiet"],
        None),
    ]  # fmt: skip
    arguments, check = verbs[number % len(verbs)]
    return Trial(arguments, names, (out,), check)


def check_metrics(path: Path) -> None:
    """Check that all metrics of a file are percentages, or say that there is nothing to count."""
    content = json.loads(path.read_text())
    for key, value in content.items():
        if key.startswith(("box_", "mask_")):
            assert value is None or (math.isfinite(value) and 0 <= value <= 100), f"{key} is {value}"


def _check_split(path: Path, out: Path) -> Any:
    """Return a check that a split invents nothing: boxes, shapes and images are those of the source."""

    def check(_: Any) -> None:
        source, made = json.loads(path.read_bytes()), json.loads((out / "s.json").read_text())
        usable = list_usable(source["annotations"])
        by_id = {entry["id"]: entry for entry in usable}
        images = {entry["id"] for entry in made["images"]}
        for entry in made["annotations"]:
            assert entry["bbox"] == by_id[entry["id"]]["bbox"]
            assert entry["image_id"] == by_id[entry["id"]]["image_id"]
            assert (entry.get("segmentation") or []) == (by_id[entry["id"]].get("segmentation") or [])
            assert entry["image_id"] in images
        objects = [entry for entry in usable if not entry.get("iscrowd")]
        assert sum(not entry.get("iscrowd") for entry in made["annotations"]) == len(objects)

    return check
