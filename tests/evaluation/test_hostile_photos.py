"""Three hundred photos that are hostile, damaged or merely unusual: each is predicted right or refused with a line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.hostile_photos import SIZE, draw_picture, write_damaged, write_odd, write_refused, write_same
from vclr.config import dump_config, load_config
from vclr.errors import in_one_line
from vclr.files import read_json
from vclr.models.build import build_model
from vclr.pictures import read_image, write_png

ROOT = Path(__file__).parents[2]
MEASURED = """
import sys
from pathlib import Path
from vclr.cli import main
from vclr.host_memory import peak_process_bytes

peak_file = Path(sys.argv.pop(1))
try:
    main()
finally:
    peak_file.write_text(str(peak_process_bytes()))
"""
GIB = 1 << 30


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_config(
        ROOT / "configs" / "experiment" / "demo.yaml",
        ["model.num_queries=20", "dataloader.test.mapper.short_edge_length=48", "dataloader.test.mapper.max_size=64"],
    )
    torch.manual_seed(0)
    state = build_model(config).state_dict()
    path = tmp_path_factory.mktemp("weights") / "last.pt"
    torch.save({"model": state, "teacher": state, "config": dump_config(config)}, path)
    return path


def predict(folder: Path, checkpoint: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Run the command on a folder in a process that must not take 4 GiB of memory."""
    arguments = ["predict", "--checkpoint", str(checkpoint), "--output", str(output), "--device", "cpu", str(folder)]
    peak = output.with_name("peak")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(peak), *arguments, "--quiet", "--min-score", "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 < int(peak.read_text()) < 4 * GIB
    return done


def refused(done: subprocess.CompletedProcess[str], folder: Path) -> dict[str, str]:
    """Return what the command says about each file that it refuses; every such line names its file."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("vclr: ") and "were refused" not in line]
    assert all(line.startswith(f"vclr: {folder}/") for line in lines), lines
    parts = (line.removeprefix(f"vclr: {folder}/").partition(": ") for line in lines)
    return {name: says for name, _, says in parts}


def check_same(folder: Path, allowed: dict[str, float], output: Path) -> None:
    """Check that every encoding gives the picture, upright, and what is found in the plain picture."""
    plain = read_json(output / "rgb_png.json")
    for name, error in allowed.items():
        picture = read_image(folder / name)
        assert picture.shape == (*SIZE, 3), name
        assert np.abs(picture.astype(int) - draw_picture()).max() <= error, name
        found = read_json(output / f"{Path(name).stem}.json")
        assert found[0]["segmentation"]["size"] == list(SIZE), name
        tolerance = 0.05 if error else 1e-6
        assert found[0]["score"] == pytest.approx(plain[0]["score"], abs=tolerance), name
        if not error:
            assert found[0]["bbox"] == pytest.approx(plain[0]["bbox"], abs=0.01), name


def test_a_few_unusual_photos_are_predicted_or_refused_with_a_line(checkpoint: Path, tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    says = write_refused(photos)
    write_png(photos / "fine.png", draw_picture())
    done = predict(photos, checkpoint, tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"vclr: {len(says)} of {len(says) + 1} files were refused")
    lines = refused(done, photos)
    assert set(lines) == set(says)
    for name, part in says.items():
        assert part in lines[name], name
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fine.json", "fine.png"]


@pytest.mark.slow
def test_three_hundred_hostile_photos(checkpoint: Path, tmp_path: Path):
    """None of them ends the command or takes 4 GiB; what is the same picture gives the same objects."""
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    allowed = write_same(photos)
    says = write_refused(photos)
    sizes = write_odd(photos)
    write_damaged(photos, 300 - len(allowed) - len(says) - len(sizes), seed=0)
    done = predict(photos, checkpoint, output)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = refused(done, photos)
    names = [path.name for path in photos.iterdir()]
    assert len(names) == 300
    for name in names:
        assert (output / f"{Path(name).stem}.json").is_file() != (escape(name) in lines), name
    assert not {*sizes, *map(escape, allowed)} & set(lines)
    for name, part in says.items():
        assert part in lines[name], name
    check_same(photos, allowed, output)
    predicted = done.stdout.splitlines()
    assert len(predicted) == 300 - len(lines)  # a line break in a name does not break a line
    for line in predicted:
        if not line.startswith("damaged"):
            assert ("in the first of several frames" in line) == line.startswith(("frames", "pages"))


def escape(name: str) -> str:
    """Return a name as a line shows it."""
    return in_one_line(name)
