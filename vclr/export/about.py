"""What a user of an exported file has to know, stored in the file: its input, its processing and its parity."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from vclr.catalog.exports import INSIDE
from vclr.structures import Size

KEY = "vclr"  # of the metadata of an ONNX file
EXTRA_FILE = "vclr.json"  # of a program of torch


@dataclass
class About:
    """The description of an exported file.

    Attributes:
        format: of `EXPORT_FORMATS`.
        processing: inside or beside the graph; see `vclr.export.graph`.
        size: (height, width) of the images; None: any from `min_side` to `max_side`.
        batch: number of images; 0: any up to `max_batch`.
        min_side: in pixels, for dynamic sizes.
        max_side: in pixels, for dynamic sizes.
        max_batch: for dynamic sizes.
        device: that a program of torch needs.
        short_edge: to which evaluation resizes the shorter side of a photo, bilinear with antialiasing.
        max_size: maximum length of the longer side then.
        mean: of each channel, RGB, from 0 to 255.
        std: standard deviation of each channel.
        max_detections: number of queries that are considered, best first.
        nms_threshold: IoU above which the worse of two boxes is dropped.
        checkpoint: name, size and SHA-256 of the checkpoint's file, and the weights that were taken.
        versions: of vclr, torch and the packages of the format.
        parity: what `vclr.export.parity` found.
        int8: what `vclr.export.int8` found; empty for float32.
    """

    format: str
    short_edge: int
    max_size: int
    mean: list[float]
    std: list[float]
    max_detections: int
    nms_threshold: float
    processing: str = INSIDE
    size: Size | None = None
    batch: int = 0
    min_side: int = 0
    max_side: int = 0
    max_batch: int = 0
    device: str = "cpu"
    checkpoint: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    int8: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @staticmethod
    def from_json(content: dict[str, Any]) -> About:
        """Undo `as_json`."""
        size = content["size"]
        return About(**{**content, "size": size and (size[0], size[1])})
