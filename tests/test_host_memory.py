"""What a process may still take: control groups, as containers and SLURM jobs have them, and the peak of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vclr.host_memory import GROUP_FILES, available_bytes, left_in_groups


def limit(folder: Path, version: int, most: int | str, used: int, reclaimable: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = GROUP_FILES[version]
    (folder / names[0]).write_text(f"{most}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {reclaimable}\n")


def left(root: Path, own: str) -> list[int]:
    (root / "own").write_text(own)
    return list(left_in_groups(root, root / "own"))


def test_every_group_above_a_process_limits_it(tmp_path: Path):
    limit(tmp_path / "job/step", 2, "max", 700, 0)
    limit(tmp_path / "job", 2, 1000, 800, 300)
    limit(tmp_path, 2, 5000, 900, 0)
    assert left(tmp_path, "0::/job/step\n") == [500, 4100]


def test_groups_of_the_first_version(tmp_path: Path):
    limit(tmp_path / "memory/job", 1, 1000, 1200, 0)
    assert left(tmp_path, "5:cpu:/job\n4:memory:/job\n0::/\n") == [0]


def test_a_container_sees_its_own_group_only(tmp_path: Path):
    limit(tmp_path, 2, 1000, 400, 0)
    assert left(tmp_path, "0::/docker/0123\n") == [600]


def test_no_groups(tmp_path: Path):
    assert list(left_in_groups(tmp_path, tmp_path / "none")) == []
    assert available_bytes() > 1 << 20


def test_a_forgotten_peak_begins_again():
    code = (
        "from vclr.host_memory import *\nb = b'x' * (300 << 20); a = peak_process_bytes(); del b\nforget_peak()\n"
        "print(a - peak_process_bytes(), process_bytes() <= peak_process_bytes())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert int(printed[0]) > 250 << 20
    assert printed[1] == "True"
