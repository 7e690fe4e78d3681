"""Several processes that share the photos: one output as of one process, and nothing left over."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.processes import running
from vclr.cli import app
from vclr.files import read_json
from vclr.launch import shards
from vclr.object_proposals.proposals_file import read_info
from vclr.object_proposals.write import write_proposals
from vclr.pictures import write_png
from vclr.views.renderer import RenderOptions
from vclr.views.write import write_views


def run_here(commands: Sequence[list[str]]) -> int:
    for words in commands:
        app(words, standalone_mode=False)
    return 0


def test_shards_stay_as_long_as_photos_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, output, work = tmp_path / "images", tmp_path / "edge", tmp_path / ".edge.shards"
    for number in range(6):
        write_png(images / f"{number}.png", np.full((8, 9, 3), number, np.uint8))
    (images / "broken.png").write_bytes(b"not an image")
    monkeypatch.setattr(shards, "run_commands", run_here)
    words = ["views", "--view", "edge", "--images", str(images), f"--output={output}", "--num-gpus", "2", "--quiet"]
    for failed in (1, 0):
        assert shards.render_with_processes(words, images, output, 2, RenderOptions(device="cpu"), overwrite=False) == 0
        write_views("edge", images, tmp_path / "whole", quiet=True)
        for path in (tmp_path / "whole").iterdir():
            assert (output / path.name).read_bytes() == path.read_bytes()
        assert len(read_json(output / "manifest.json").get("failed", ())) == failed
        assert work.exists() == bool(failed)
        (images / "broken.png").unlink(missing_ok=True)


def test_no_photo_is_searched_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, output = tmp_path / "images", tmp_path / "p.json"
    for number in range(4):
        write_png(images / f"{number}.png", np.random.default_rng(number).integers(0, 256, (24, 32, 3), np.uint8))
    (images / "broken.png").write_bytes(b"not an image")
    monkeypatch.setattr(shards, "run_commands", run_here)
    words = ["proposals", "--images", str(images), "--output", str(output), "--num-gpus", "2", "--quiet"]
    journals = [tmp_path / ".p.json.shards" / f".{number}of2.json.work" / "journal.jsonl" for number in (1, 2)]
    sizes = []
    for _ in range(2):
        assert shards.propose_with_processes(words, output, 2, "cpu") == 0
        assert [*read_info(output)["failed"]] == ["broken.png"]
        sizes.append([count_bytes(journal) for journal in journals])
    assert sizes[0] == sizes[1] and all(sizes[0])
    (images / "broken.png").unlink()
    assert shards.propose_with_processes(words, output, 2, "cpu") == 0
    assert not (tmp_path / ".p.json.shards").exists()
    assert output.read_bytes() == write_proposals("graph", images, tmp_path / "w.json", quiet=True).read_bytes()


@pytest.mark.slow
def test_ctrl_c_ends_all_processes(tmp_path: Path) -> None:
    images, output = tmp_path / "images", tmp_path / "view"
    write_png(images / "photo.png", np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    for number in range(1000):
        (images / f"{number}.png").symlink_to(images / "photo.png")
    words = ["views", "--view", "pseudo_depth", "--images", str(images), "--output", str(output), "--num-gpus", "2"]
    journals = [tmp_path / ".view.shards" / f".{number}of2.work" / "journal.jsonl" for number in (1, 2)]
    with running([sys.executable, "-m", "vclr.cli", *words, "--device", "cpu", "--quiet"]) as process:
        deadline = time.monotonic() + 120
        while not all(map(count_bytes, journals)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    sizes = [count_bytes(journal) for journal in journals]
    time.sleep(0.5)
    assert sizes == [count_bytes(journal) for journal in journals] and all(sizes)
    assert not output.exists()


def count_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
