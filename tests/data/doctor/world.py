"""A small valid data set that tests damage, and helpers to read the findings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vclr.coco.annotations import encode_mask
from vclr.config import Config, load_config
from vclr.data.doctor.check import DataSet, check_config, check_files
from vclr.data.doctor.report import Report
from vclr.files import write_json
from vclr.finding import OK, Finding
from vclr.pictures import write_png
from vclr.worker_pool import WorkerPool

Json = dict[str, Any]
HEIGHT, WIDTH = 40, 60
NAMES = ("a.png", "b.png", "c.png")


def rectangle(left: float, top: float, width: float, height: float) -> list[list[float]]:
    return [[left, top, left + width, top, left + width, top + height, left, top + height]]


def run_lengths(left: int, top: int, width: int, height: int) -> Json:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top : top + height, left : left + width] = 1
    return encode_mask(mask)


class World:
    """A valid data set of three photos with a view and proposals; a test damages the entries or the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in NAMES:
            for kind in ("images", "depth"):
                write_png(folder / kind / name, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
        self.images: list[Any] = [
            {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH} for number, name in enumerate(NAMES)
        ]
        self.annotations: list[Any] = [
            {
                **{"id": number, "image_id": number // 2, "category_id": 1 + number % 2, "iscrowd": 0},
                **{"bbox": [4, 4 + 10 * (number % 2), 20, 8], "area": 160},
                "segmentation": rectangle(4, 4 + 10 * (number % 2), 20, 8),
            }
            for number in range(6)
        ]
        self.categories: Any = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cup"}]
        self.proposals: Json = {
            "images": [dict(image) for image in self.images],
            "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [30, 20, 9, 9], "score": 0.5}],
        }

    def write(self) -> Path:
        entries = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        write_json(self.folder / "a.json", entries)
        write_json(self.folder / "p.json", self.proposals)
        return self.folder / "a.json"

    def files(self) -> DataSet:
        return DataSet(
            self.folder / "a.json",
            self.folder / "images",
            {"depth": self.folder / "depth"},
        )

    def check(self, decode: bool = True) -> Report:
        self.write()
        return check_files(self.files(), WorkerPool(), decode)

    def config(self, *overrides: str) -> Config:
        paths = [f"data.{part}.annotations={self.folder}/a.json" for part in ("train", "test")]
        paths += [f"data.{part}.images={self.folder}/images" for part in ("train", "test")]
        paths += [f"data.train.views.depth={self.folder}/depth", f"data.train.proposals={self.folder}/p.json"]
        return load_config(None, [*paths, *overrides])

    def check_config(self, *overrides: str) -> Report:
        self.write()
        return check_config(self.config(*overrides), WorkerPool())


def wrong(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.level != OK]


def notes(report: Report) -> dict[str, str]:
    return {finding.topic: finding.says for finding in report.findings if finding.level == OK}


def only(report: Report, topic: str, level: str) -> str:
    """Check that a report has only one finding, with this topic, and return its text."""
    (finding,) = wrong(report)
    assert (finding.level, finding.topic) == (level, topic)
    return finding.says
