"""Our detector under detectron2's trainer and evaluator, in a process that can import them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop.detectron2_build import environment
from tests.interop.fixtures import need_detectron2
from tests.shared import PHOTOS
from vclr import score

METRICS = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "APs": "ap_small", "APm": "ap_medium", "APl": "ap_large"}
KINDS = {"bbox": "box", "segm": "mask"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a training of 20 iterations, and what the program printed."""
    need_detectron2()
    if not PHOTOS.is_dir():
        pytest.skip("needs VCLR_SHARED")
    folder = tmp_path_factory.mktemp("trained")
    command = [sys.executable, "-W", "ignore", "-m", "tests.interop.trainer", str(folder), str(PHOTOS), "20"]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=280)
    assert not ended.returncode, ended.stderr[-4000:]
    recalls = re.findall(r"Average Recall .*area= *(\w+) \| maxDets= *(\d+) \] = (\S+)", ended.stdout)
    return folder, {**json.loads(ended.stdout.splitlines()[-1]), "recalls": recalls}


@pytest.mark.slow
def test_their_trainer_trains_student_and_teacher(trained: tuple[Path, dict[str, Any]]) -> None:
    _, printed = trained
    assert printed["moved"] == {"student": True, "teacher": True}
    assert "loss_consistency" in printed["losses"] and all(map(math.isfinite, printed["losses"].values()))


@pytest.mark.slow
@pytest.mark.parametrize(("key", "found"), [("results", "."), ("of_moved", "moved")])
def test_their_evaluator_and_ours_agree(trained: tuple[Path, dict[str, Any]], key: str, found: str) -> None:
    folder, printed = trained
    ours = score(PHOTOS / "annotations_val.json", folder / found / "coco_instances_results.json")
    for kind, own in KINDS.items():
        for metric, name in METRICS.items():
            value = ours.get(f"{own}_{name}")
            if value is not None:
                assert printed[key][kind][metric] == pytest.approx(value, abs=1e-6), (kind, metric)
    assert key == "results" or ours["mask_ap"] > 20


@pytest.mark.slow
def test_their_evaluator_prints_the_same_recall(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, printed = trained
    ours = score(PHOTOS / "annotations_val.json", folder / "moved" / "coco_instances_results.json")
    last = printed["recalls"][-12:]  # of boxes, then of masks
    for number, (area, count, value) in enumerate(last):
        name = f"{'box' if number < 6 else 'mask'}_ar@{count}{'' if area == 'all' else f'_{area}'}"
        assert 100 * float(value) == pytest.approx(ours[name], abs=0.0501), name
