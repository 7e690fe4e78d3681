"""A video gives a json line per searched frame, and a video of the same size and rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vclr.config import dump_config, load_config
from vclr.errors import UsageError, UserError
from vclr.evaluation.predict import predict_files
from vclr.models.build import build_model

SIZE, RATE, FRAMES = (48, 64), 12.5, 7


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    demo = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"
    config = load_config(demo, ["model.num_queries=10", "dataloader.test.mapper.short_edge_length=48"])
    state = build_model(config).state_dict()
    path = tmp_path_factory.mktemp("weights") / "last.pt"
    torch.save({"model": state, "teacher": state, "config": dump_config(config)}, path)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clips" / "walk.avi"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE, SIZE[::-1])
    for number in range(FRAMES):
        writer.write(np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    writer.release()
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("every", [1, 3])
def test_frames_become_lines_and_a_video(
    checkpoint: Path, video: Path, tmp_path: Path, every: int, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "out"
    predict_files([video], checkpoint, output, 0.0, "cpu", every=every, quiet=True)
    head, *lines = read_lines(output / "walk.jsonl")
    assert head["file_name"] == "walk.avi" and (head["height"], head["width"], head["fps"]) == (*SIZE, RATE)
    assert [line["frame"] for line in lines] == list(range(0, FRAMES, every))
    assert [line["seconds"] for line in lines] == [pytest.approx(line["frame"] / RATE, abs=1e-3) for line in lines]
    assert all(one["segmentation"]["size"] == list(SIZE) for line in lines for one in line["objects"])
    overlay = cv2.VideoCapture(str(output / "walk.mp4"))
    assert overlay.get(cv2.CAP_PROP_FPS) == pytest.approx(RATE)
    assert (overlay.get(cv2.CAP_PROP_FRAME_HEIGHT), overlay.get(cv2.CAP_PROP_FRAME_WIDTH)) == SIZE
    assert sum(1 for _ in iter(lambda: overlay.read()[0], False)) == FRAMES
    assert f"walk.avi: {len(lines)} of {FRAMES} frames searched, " in capsys.readouterr().out
    predict_files([video], checkpoint, output, 0.0, "cpu", every=every, quiet=True)  # its own results are replaced
    (output / "walk.jsonl").write_text("mine")
    with pytest.raises(UsageError, match=r"walk\.jsonl: was not written by"):
        predict_files([video], checkpoint, output, 0.0, "cpu")
    assert sorted(path.name for path in output.iterdir()) == ["walk.jsonl", "walk.mp4"]


def test_damaged_video_is_one_line_and_leaves_nothing(checkpoint: Path, video: Path, tmp_path: Path):
    for name, data in (("text.mp4", b"hello"), ("cut.mp4", video.read_bytes()[:300]), ("empty.mov", b"")):
        (video.parent / name).write_bytes(data)
        with pytest.raises(UserError, match=rf"{name}: (is not a video|not one frame)"):
            predict_files([video.parent / name], checkpoint, tmp_path / "out", 0.0, "cpu")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_settings_that_would_do_nothing_are_refused(checkpoint: Path, video: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="--format: videos get no pre-annotations"):
        predict_files([video], checkpoint, tmp_path / "out", 0.3, "cpu", formats=["coco"], quiet=True)
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(UsageError, match="--every 3: needs a video"):
        predict_files([photo], checkpoint, tmp_path / "out", 0.3, "cpu", every=3, quiet=True)
    assert not (tmp_path / "out").exists()


def test_long_name_of_a_video_stops_nothing(
    checkpoint: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    videos = [video.rename(video.with_name("b" * 249 + ".avi")), video, video.with_name("c" * 251 + ".avi")]
    for path in videos[1:]:
        path.write_bytes(videos[0].read_bytes())
    with pytest.raises(UserError, match="1 of 3 files was refused"):
        predict_files(videos, checkpoint, tmp_path / "out", 0.3, "cpu", every=FRAMES, quiet=True)
    assert f"{videos[2]}: its name is too long to name results after it" in capsys.readouterr().err
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == sorted(f"{p.stem}.{s}" for p in videos[:2] for s in ("jsonl", "mp4"))
