"""Several processes that share the photos: one output as of one process, and nothing left over or done twice."""

from __future__ import annotations

import signal
import subprocess
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
        assert shards.render_with_processes(words, images, output, 2, "cpu", overwrite=False) == 0
        write_views("edge", images, tmp_path / "whole", quiet=True)
        for path in (tmp_path / "whole").iterdir():
            assert (output / path.name).read_bytes() == path.read_bytes()
        assert len(read_json(output / "manifest.json").get("failed", ())) == failed
        assert work.exists() == bool(failed)
        (images / "broken.png").unlink(missing_ok=True)


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


def draw_photo(path: Path) -> None:
    write_png(path, np.random.default_rng(len(path.name)).integers(0, 256, (24, 32, 3), np.uint8))


def propose(images: Path, output: Path) -> None:
    words = ["proposals", "--images", str(images), "--output", str(output), "--num-gpus", "2", "--quiet"]
    subprocess.run([sys.executable, "-m", "vclr.cli", *words], check=True)


@pytest.mark.slow
def test_proposals_of_two_processes(tmp_path: Path) -> None:
    images, output = tmp_path / "images", tmp_path / "p.json"
    for number in range(4):
        draw_photo(images / f"{number}.png")
    (images / "3.png").write_text("no image")
    propose(images, output)
    assert [*read_info(output)["failed"]] == ["3.png"]
    journals = [tmp_path / ".p.json.shards" / f".{number}of2.json.work" / "journal.jsonl" for number in (1, 2)]
    assert sum(len(journal.read_text().splitlines()) for journal in journals) == 3
    before = journals[0].stat().st_mtime_ns, journals[1].stat().st_mtime_ns
    propose(images, output)
    assert before == (journals[0].stat().st_mtime_ns, journals[1].stat().st_mtime_ns), "no photo is done twice"
    draw_photo(images / "3.png")
    propose(images, output)
    assert not (tmp_path / ".p.json.shards").exists()
    whole = write_proposals("graph", images, tmp_path / "whole.json", quiet=True)
    assert output.read_bytes() == whole.read_bytes()
