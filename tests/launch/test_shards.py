"""Proposals of several processes are those of one, and a photo that failed is the only one that is done again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vclr.object_proposals.proposals_file import read_info
from vclr.object_proposals.write import write_proposals
from vclr.pictures import write_png


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
