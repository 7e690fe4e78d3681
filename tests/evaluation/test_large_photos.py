"""The largest photo of each format, in the kind that needs most memory, is read in less than 4 GiB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vclr.pictures import MAX_PIXELS, MAX_PIXELS_OF

ROOT = Path(__file__).parents[2]
# Neither process may take the memory of others, whatever it does.
PREPARE = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
path, kind, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
"""
WRITE = """
from PIL import Image
exif = Image.Exif()
exif[0x0112] = 6
options = {
    "JPEG": {"progressive": True}, "PNG": {"compress_level": 1}, "WEBP": {"method": 0, "quality": 50},
    "TIFF": {"compression": "tiff_adobe_deflate", "strip_size": 2**31 - 8},
    "AVIF": {"speed": 10, "subsampling": "4:4:4"},
}.get(kind, {})
if kind != "JPEG2000":
    options["exif"] = exif
Image.new("CMYK" if kind == "JPEG" else "RGBA", (side, side), (10, 20, 30, 128)).save(path, kind, **options)
"""
READ = """
from vclr.config import TestMapperConfig
from vclr.evaluation.read_ahead import read_or_refuse
from vclr.host_memory import peak_process_bytes
photo = read_or_refuse(Path(path), TestMapperConfig(), None)
print(*photo.size, peak_process_bytes())
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "JPEG2000", "AVIF"])
def test_largest_photo_takes_less_than_four_gib(tmp_path: Path, kind: str):
    """Pillow writes no JPEG 2000 of 16 bits, which takes 4 bytes per pixel more than the one here."""
    side = int(MAX_PIXELS_OF.get(kind, MAX_PIXELS) ** 0.5)
    arguments = [str(tmp_path / "photo"), kind, str(side)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    said = [
        subprocess.run(
            [sys.executable, "-c", PREPARE + script, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for script in (WRITE, READ)
    ]
    height, width, peak = map(int, said[1].split())
    assert height == width == side
    margin = 4 * side**2 if kind == "JPEG2000" else 0
    assert peak + margin < 3.6 * 2**30  # the detector needs some, too
