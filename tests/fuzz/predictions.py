"""Results and object proposals, odd and damaged: scored, evaluated, joined to annotations, split."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from tests.fuzz.coco_json import check_metrics
from tests.fuzz.judge import Trial
from tests.fuzz.loading import check_samples, load_training
from tests.fuzz.odd import ODD, SECRET, alter_json, damage_text, list_places, put
from tests.fuzz.sound import proposals, results


def make(number: int, folder: Path) -> list[Trial]:
    """Write results (even numbers) or proposals, and return the commands that read them."""
    chance = random.Random(f"predictions {number}")
    path, are_results = folder / "found.json", number % 2 == 0
    content: Any = results() if are_results else proposals()
    if number % 8 >= 6:
        path.write_bytes(damage_text(json.dumps(content).encode(), chance))
    else:
        places = list_places(content)
        is_one = number % 8 < 4
        content = put(content, chance.choice(places), chance.choice(ODD)) if is_one else alter_json(content, chance)
        path.write_text(json.dumps(content).replace(SECRET, str(folder / "beside/secret.png")), encoding="utf-8")
    out, names, sound = folder / "out", (path.name,), str(folder / "sound.json")
    score = ["score", sound, str(path), "--output", str(out / "m.json")]
    scored = Trial(score, names, (out,), lambda _: check_metrics(out / "m.json"))
    if are_results:
        tested = [f"data.test.annotations={sound}", f"data.test.images={folder / 'images'}"]
        evaluate = ["evaluate", "--config-file", str(folder / "tiny.yaml"), "--predictions", str(path)]
        if number % 4:
            return [scored]
        return [
            scored,
            Trial(
                [*evaluate, "--output", str(out), *tested], names, (out,), lambda _: check_metrics(out / "metrics.json")
            ),
        ]
    split = [
        "split",
        "toy_known_top5",
        "--annotations",
        sound,
        "--proposals",
        str(path),
        "--output",
        str(out / "s.json"),
    ]
    return [
        scored,
        Trial(load_training(folder, folder / "sound.json", proposals=path), names, (out,), check_samples),
        Trial(split, names, (out,), lambda _: _check_boxes(out / "s.json")),
    ]


def _check_boxes(path: Path) -> None:
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        assert all(math.isfinite(side) for side in entry["bbox"])
        assert entry["bbox"][2] >= 0 and entry["bbox"][3] >= 0
