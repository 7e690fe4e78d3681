"""A video in, objects out: a json line per frame, and the video with the objects drawn. One frame is in memory."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vclr.data.samples import make_test_sample
from vclr.drawing import shrink, shrink_mask
from vclr.errors import UsageError
from vclr.evaluation.finder import Finder
from vclr.evaluation.inference import to_coco_results
from vclr.evaluation.read_ahead import ReadPhoto
from vclr.evaluation.shown_objects import choose_shown, draw_masks
from vclr.evaluation.video_files import UnreadableVideoError, import_opencv, open_video, read_frames, writing_video
from vclr.files import atomic_path, try_name
from vclr.progress import Progress
from vclr.structures import Predictions

HEAD = '{"software": "vclr predict"'  # how the json lines begin, so that a later run knows what it may overwrite


def predict_video(
    video: Path, output: Path, finder: Finder, min_score: float, max_objects: int, every: int = 1, quiet: bool = False
) -> str:
    """Write `output/<stem>.jsonl` and `output/<stem>.mp4`, which has the size and the rate of the video.

    The first json line says what the video is. Each other one is of a frame that was searched: its number from 0, its
    time in seconds, and its objects as COCO results without `image_id`. Frames between show the objects of the last one
    that was searched.

    Args:
        video: any file that OpenCV decodes. Frames are upright.
        output: folder.
        finder: the detector.
        min_score: minimum score of the objects that are drawn.
        max_objects: maximum number of the objects that are drawn in a frame.
        every: objects are searched in every so many frames.
        quiet: show no progress.

    Returns:
        One line about what was found.

    Raises:
        UnreadableVideoError: it is not a video, or not one frame of it can be decoded.
        UserError: OpenCV is missing, or the results cannot be written.
    """
    lines_file, overlay_file = _results_of(video, output)
    num_searched = num_objects = number = 0
    objects: list[np.ndarray] = []
    with ExitStack() as stack:
        reader, facts = stack.enter_context(open_video(video))
        try_name(lines_file)  # its name is the longer one
        lines = stack.enter_context(open(stack.enter_context(atomic_path(lines_file)), "w", encoding="utf-8"))
        write = stack.enter_context(writing_video(overlay_file, facts))
        progress = stack.enter_context(closing(Progress(video.name, facts["num_frames"] or None, quiet=quiet)))
        lines.write(json.dumps({"software": "vclr predict", "file_name": video.name, "every": every, **facts}) + "\n")
        for number, frame in enumerate(read_frames(reader)):
            if number % every == 0:
                found = finder.find([_as_photo(video, frame, finder)])[0]
                shown = choose_shown(found, min_score, max_objects)
                objects = [_small_mask(found, index, frame) for index in reversed(shown)]
                lines.write(json.dumps(_as_line(found, number, facts["fps"])) + "\n")
                num_searched, num_objects = num_searched + 1, num_objects + len(shown)
            write(_draw(frame, objects))
            progress.advance()
        if not num_searched:
            raise UnreadableVideoError(f"{video}: not one frame of it can be decoded; is the file complete?")
    num_frames = number + 1
    says = f"{video.name}: {num_searched} of {num_frames} frames searched, {num_objects} objects drawn in them"
    if facts["num_frames"] > num_frames + 1:
        says += f" (the file says {facts['num_frames']} frames: it may be damaged or cut off)"
    return f"{says} -> {overlay_file}"


def check_video_output(video: Path, output: Path) -> None:
    """Refuse an output folder in which a video's results would replace the video or other files, or without OpenCV.

    Raises:
        UsageError: files would be replaced.
        UserError: OpenCV is missing.
    """
    import_opencv()
    if output.resolve() == video.resolve().parent:
        raise UsageError(f"{output}: holds the video; the results need a folder of their own")
    lines_file, overlay_file = _results_of(video, output)
    is_own = False
    if os.path.isfile(lines_file) and not os.path.islink(lines_file):
        with open(lines_file, encoding="utf-8", errors="replace") as lines:
            is_own = lines.read(len(HEAD)) == HEAD
    for path in (lines_file, overlay_file):
        if os.path.lexists(path) and not is_own:
            raise UsageError(f"{path}: was not written by `vclr predict`; name another folder")


def _results_of(video: Path, output: Path) -> tuple[Path, Path]:
    return output / f"{video.stem}.jsonl", output / f"{video.stem}.mp4"


def _as_photo(video: Path, frame: np.ndarray, finder: Finder) -> ReadPhoto:
    size = frame.shape[0], frame.shape[1]
    is_tiled = finder.search.tiling is not None and max(size) > finder.search.tiling.side
    sample = None if is_tiled else make_test_sample(Image.fromarray(frame), finder.mapper)
    return ReadPhoto(video, size, sample, frame if is_tiled else None, frame, has_frames=False)


def _small_mask(found: Predictions, index: int, frame: np.ndarray) -> np.ndarray:
    small, _, _ = shrink(frame, [])
    return shrink_mask(found.mask(index), (small.shape[0], small.shape[1]))


def _draw(frame: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """Draw objects on a frame, at its size."""
    if not masks:
        return frame
    small, _, _ = shrink(frame, [])
    drawn = draw_masks(small, masks)
    if drawn.shape == frame.shape:
        return drawn
    height, width = frame.shape[:2]
    return np.asarray(Image.fromarray(drawn).resize((width, height), Image.Resampling.BILINEAR))


def _as_line(found: Predictions, number: int, fps: float) -> dict[str, Any]:
    objects = to_coco_results(found, 0)
    for one in objects:
        del one["image_id"]
    return {"frame": number, "seconds": round(number / fps, 3), "objects": objects}
