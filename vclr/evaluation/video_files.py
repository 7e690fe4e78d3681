"""Read and write videos through OpenCV, frame by frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vclr.errors import UserError
from vclr.files import partial_of

DEFAULT_RATE = 25.0  # frames per second of a video that does not say


class UnreadableVideoError(UserError):
    """Report a video that cannot be decoded."""


def import_opencv() -> Any:
    """Return OpenCV; its own messages, which say nothing that ours do not, are off.

    Raises:
        UserError: it is not installed.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        import cv2
    except ImportError:
        raise UserError("videos need OpenCV: pip install 'vclr[video]'") from None
    return cv2


@contextmanager
def open_video(video: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield OpenCV's reader and what it says about the video: size as shown, upright, frames per second, frames."""
    cv2 = import_opencv()
    reader = cv2.VideoCapture(str(video))
    try:
        if not reader.isOpened():
            raise UnreadableVideoError(f"{video}: is not a video that OpenCV reads, or is damaged")
        reader.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # a phone's video is turned upright
        fps = float(reader.get(cv2.CAP_PROP_FPS))
        width, height = (int(reader.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        count = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
        yield (
            reader,
            {
                "width": width,
                "height": height,
                "fps": fps if 0 < fps < 1000 else DEFAULT_RATE,
                "num_frames": max(0, count),
            },
        )
    finally:
        reader.release()


def read_frames(reader: Any) -> Iterator[np.ndarray]:
    """Yield the frames, (h, w, 3) uint8 RGB."""
    while True:
        is_read, frame = reader.read()
        if not is_read:
            return
        yield np.ascontiguousarray(frame[:, :, ::-1])


@contextmanager
def writing_video(path: Path, facts: dict[str, Any]) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends an RGB frame to a video, which appears when the block ends without an error."""
    cv2 = import_opencv()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{partial_of(path).name}.mp4")  # OpenCV chooses the container by the suffix
    writer: Any = None

    def write(frame: np.ndarray) -> None:
        nonlocal writer
        height, width = frame.shape[:2]
        if writer is None:
            writer = cv2.VideoWriter(str(partial), cv2.VideoWriter_fourcc(*"mp4v"), facts["fps"], (width, height))
            if not writer.isOpened():
                raise UserError(f"{path}: cannot be written: OpenCV has no encoder for {width}x{height} pixels")
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))

    try:
        yield write
        if writer is not None:
            writer.release()
            os.replace(partial, path)
    finally:
        if writer is not None:
            writer.release()
        partial.unlink(missing_ok=True)
