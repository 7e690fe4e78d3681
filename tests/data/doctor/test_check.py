"""`vclr doctor data`: no finding in a valid data set, and exactly the known ones in real photos."""

from __future__ import annotations

import pytest

from tests.data.doctor.world import World, notes, wrong
from tests.shared import PHOTOS
from vclr.data.doctor.check import DataSet, check_files
from vclr.worker_pool import WorkerPool


def test_sound_set_has_no_finding(world: World):
    for report in (world.check(), world.check(decode=False), world.check_config()):
        assert wrong(report) == []
        assert report.summarize() == "3 images, 6 annotations: 0 errors, 0 warnings"
    assert "3 images, 6 objects, 0 crowds, 2 classes" in notes(world.check())["contents"]


def test_processes_find_the_same(world: World, monkeypatch: pytest.MonkeyPatch):
    world.annotations[1]["bbox"] = [70, 4, 20, 8]
    world.annotations[4]["id"] = 0
    (world.folder / "images" / "b.png").write_text("not an image")
    alone = world.check()
    assert len(wrong(alone)) == 3
    monkeypatch.setattr("vclr.worker_pool.MIN_BLOCKS", 1)
    monkeypatch.setattr("vclr.data.doctor.annotations.BLOCK", 1)
    monkeypatch.setattr("vclr.data.doctor.photos.BLOCK", 1)
    assert check_files(world.files(), WorkerPool(num_workers=2)) == alone


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED")
def test_known_oddities_of_real_photos():
    """PROVENANCE.md of the photos: ten uncompressed crowds, seven boxes off, areas of crowds, three empty images."""
    report = check_files(DataSet(PHOTOS / "annotations.json", PHOTOS / "images"), WorkerPool())
    assert report.summarize() == "100 images, 852 annotations: 0 errors, 10 warnings"
    found: dict[str, list[str]] = {}
    for finding in report.findings:
        found.setdefault(finding.topic, []).append(finding.says.removeprefix(f"{PHOTOS}/annotations.json: "))
    assert "842 as polygons, 10 as uncompressed RLE" in found["masks"][0]
    assert "has 10 crowds" in found["crowds"][0]
    numbers = [int(says.split("[")[1].split("]")[0]) for says in found["box off its mask"]]
    assert numbers == [19, 49, 108, 164, 375, 637, 723]
    assert all(3 < float(says.split(" by ")[1].split()[0]) + 0.05 < 7.5 for says in found["box off its mask"])
    assert len(found["area off its mask"]) == 8
    assert all("because it is a crowd" in says for says in found["area off its mask"])
    assert [says.split("]")[0] for says in found["image without object"]] == ["images[46", "images[75", "images[79"]
