"""Photos in, objects out: a json and an overlay picture per photo, and pre-annotations for annotation tools.

Memory stays bounded, however large a photo is and however many objects it has: masks are run lengths, and those that
are drawn are shrunk one by one.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from vclr.coco.annotations import OBJECT
from vclr.device import describe_device
from vclr.errors import UsageError, UserError, in_one_line
from vclr.evaluation.finder import WHOLE_PHOTOS, Finder, Search
from vclr.evaluation.inference import to_coco_results
from vclr.evaluation.photo_arguments import find_media
from vclr.evaluation.read_ahead import ReadPhoto, Refused
from vclr.evaluation.shown_objects import choose_shown, draw_shown
from vclr.evaluation.video import check_video_output, predict_video
from vclr.evaluation.video_files import UnreadableVideoError
from vclr.files import read_json, try_name, write_json
from vclr.models.ready import open_detector
from vclr.outputs import check_writable
from vclr.pictures import software_of, write_png
from vclr.pre_annotations.photo import FoundPhoto, Naming, take_objects
from vclr.pre_annotations.write import check_pre_annotations, name_photos, write_pre_annotations
from vclr.progress import Progress
from vclr.structures import Predictions

log = logging.getLogger("vclr.evaluation")

SOFTWARE = "vclr predict"  # noted in each picture, so that a later run knows what it may overwrite
OBJECT_NAMING = Naming(str(OBJECT["name"]))


def predict_files(
    arguments: Sequence[str | Path],
    checkpoint: Path,
    output: Path,
    min_score: float,
    device: str,
    config_file: Path | None = None,
    max_objects: int = 12,
    weights: str = "",
    formats: Sequence[str] = (),
    naming: Naming = OBJECT_NAMING,
    search: Search = WHOLE_PHOTOS,
    every: int = 1,
    quiet: bool = False,
) -> None:
    """Write `output/<stem>.json` (COCO results) and `output/<stem>.png` (objects drawn) for each photo.

    The objects that are drawn also become pre-annotations, in `output/<format>/`. A video gets `output/<stem>.jsonl`
    and `output/<stem>.mp4`; see `predict_video`.

    Print one line per photo: the numbers of objects in the json and in the picture, and the picture's path. A photo
    that cannot be read gets a line on stderr, and the others go on.

    Args:
        arguments: image files, folders of them, videos, and patterns; see `find_photos`.
        checkpoint: a file, whose configuration builds the model and says how photos are resized; or a run folder, whose
            last checkpoint is used.
        output: folder.
        min_score: objects with a lower score are in the json, but not drawn.
        device: auto, cpu, cuda ...
        config_file: the configuration of weights that hold none (the reference's); by default the published one.
        max_objects: maximum number of objects that are drawn: the best ones that show different objects.
        weights: student or teacher; by default what the configuration says.
        formats: formats of the pre-annotations; see `ANNOTATION_TOOLS`.
        naming: the label of the objects in them, and the address of the photos.
        search: how photos are searched: in batches, in tiles ...
        every: of a video, objects are searched in every so many frames.
        quiet: show no progress.

    Raises:
        UserError: a photo or the checkpoint cannot be read, or `output` cannot be written. The results of all other
            photos are complete, and the pre-annotations hold these.
        UsageError: two photos have the same stem; `formats` come without photos, or `every` without videos; or `output`
            holds the photos, or files of others or pre-annotations that would be replaced. Then nothing is written.
    """
    photos, videos = find_media(arguments)
    if formats and not photos:
        raise UsageError("--format: videos get no pre-annotations; leave it out, or give photos")
    if every != 1 and not videos:
        raise UsageError(f"--every {every}: needs a video")
    names = name_photos(photos) if photos else []
    check_pre_annotations(formats, names, output, naming)
    _check_output(photos, output)
    for video in videos:
        check_video_output(video, output)
    finder = Finder(*open_detector(checkpoint, device, config_file, weights), search)
    log.info("predicting on %s", describe_device(finder.model.pixel_mean.device, device))
    pre_annotated: list[FoundPhoto] = []
    refused: list[Refused] = []
    by_path = dict(zip(photos, names, strict=True))
    is_alone = len(photos) + len(videos) == 1
    try:
        with closing(Progress("predicting", len(photos), quiet=quiet or len(photos) < 2)) as progress:
            for photo, found in finder.find_all(photos):
                progress.advance()
                if isinstance(photo, Refused):
                    _refuse(photo, refused, is_alone)
                    continue
                shown = choose_shown(found, min_score, max_objects)
                try:
                    _write(photo, found, shown, output)
                except OSError as error:
                    _refuse(_explain_long_name(photo.path, error), refused, is_alone)
                    continue
                if formats:
                    pre_annotated.append(take_objects(photo.path, by_path[photo.path], found, shown, photo.size))
                print(in_one_line(_describe(photo, found, shown, min_score, output)), flush=True)
    finally:
        if pre_annotated:
            for folder in write_pre_annotations(formats, pre_annotated, output, naming):
                print(f"{folder.name}: {_say_numbers(pre_annotated)} -> {folder}", flush=True)
    for video in videos:
        try:
            print(in_one_line(predict_video(video, output, finder, min_score, max_objects, every, quiet)), flush=True)
        except UnreadableVideoError as error:
            _refuse(Refused(video, str(error)), refused, is_alone)
        except OSError as error:
            _refuse(_explain_long_name(video, error), refused, is_alone)
    if refused:
        raise UserError(_say_refused(len(refused), len(photos) + len(videos)))


def _refuse(photo: Refused, refused: list[Refused], is_alone: bool) -> None:
    """Say why a photo is not predicted, and go on; if there is no other one, this is the error of the command."""
    if is_alone:
        raise UserError(photo.says)
    print(f"vclr: {in_one_line(photo.says)}", file=sys.stderr, flush=True)
    refused.append(photo)


def _explain_long_name(path: Path, error: OSError) -> Refused:
    """Say that no results can be named after a photo or video, if an error means that; raise every other error."""
    if error.errno != errno.ENAMETOOLONG:
        raise error
    return Refused(path, f"{path}: its name is too long to name results after it; rename it")


def _say_refused(count: int, total: int) -> str:
    are = "was" if count == 1 else "were"
    return f"{count} of {total} files {are} refused, as the lines above say; the results of the others are complete"


def _write(photo: ReadPhoto, found: Predictions, shown: list[int], output: Path) -> None:
    """Write the picture and the json of a photo."""
    json_file, picture = _results_of(photo.path, output)
    try_name(json_file)  # its name is the longer one
    # The picture is written first: it tells a later run that both files are results of this command.
    write_png(picture, draw_shown(photo.picture, found, shown), software=SOFTWARE)
    write_json(json_file, as_results(found, photo.path.name))


def _say_numbers(photos: Sequence[FoundPhoto]) -> str:
    num_objects = sum(len(photo.objects) for photo in photos)
    return f"{num_objects} object{'s' * (num_objects != 1)} in {len(photos)} photo{'s' * (len(photos) != 1)}"


def _results_of(photo: Path, output: Path) -> tuple[Path, Path]:
    """Return the json and the picture of a photo."""
    return output / f"{photo.stem}.json", output / f"{photo.stem}.png"


def as_results(found: Predictions, file_name: str | None) -> list[dict[str, Any]]:
    """Return the objects of a photo as COCO results with its file name, if there is one, in the place of an id."""
    results = to_coco_results(found, 0)
    for result in results:
        if file_name is not None:
            result["file_name"] = file_name
        del result["image_id"]
    return results


def _describe(photo: ReadPhoto, found: Predictions, shown: Sequence[int], min_score: float, output: Path) -> str:
    note = " in the first of several frames" if photo.has_frames else ""
    if len(found) and found.scores[0] < min_score:
        note += f" (the best score is {found.scores[0]:.2f}; --min-score is {min_score:g})"
    numbers = f"{len(found)} object{'s' * (len(found) != 1)}, {len(shown)} drawn"
    return f"{photo.path.name}: {numbers}{note} -> {_results_of(photo.path, output)[1]}"


def _check_output(photos: Sequence[Path], output: Path) -> None:
    """Refuse a folder in which results would replace the photos or other files."""
    if os.path.lexists(output) and not output.is_dir():
        raise UsageError(f"{output}: is not a folder; name a folder for the results")
    own = output.resolve()
    for photo in photos:
        # Not `Path.resolve`, which fails on a link that leads to itself.
        if own in (Path(os.path.realpath(photo)).parent, Path(os.path.realpath(photo.parent))):
            raise UsageError(f"{output}: holds the photos; the results need a folder of their own")
    for photo in photos:
        json_file, picture = _results_of(photo, output)
        for path, is_own in ((picture, software_of(picture) == SOFTWARE), (json_file, _is_own(json_file, picture))):
            if os.path.lexists(path) and not is_own:
                raise UsageError(f"{path}: was not written by `vclr predict`; name another folder")
    check_writable(output, str(output))


def _is_own(json_file: Path, picture: Path) -> bool:
    """Tell whether `vclr predict` wrote a json: its content looks like it, and so does the picture beside it."""
    if os.path.islink(json_file) or software_of(picture) != SOFTWARE:
        return False
    try:
        results = read_json(json_file)
    except UserError:
        return False
    keys = {"file_name", "score", "segmentation"}
    return isinstance(results, list) and all(isinstance(one, dict) and keys <= one.keys() for one in results)
