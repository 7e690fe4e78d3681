"""Photos in, objects out: a json and an overlay picture per photo, and pre-annotations for annotation tools."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vclr.coco.annotations import OBJECT
from vclr.device import describe_device
from vclr.drawing import draw_objects
from vclr.errors import UsageError, UserError
from vclr.evaluation.inference import predict, to_coco_results
from vclr.evaluation.photo_arguments import find_photos
from vclr.evaluation.shown_objects import choose_shown
from vclr.files import read_json, write_json
from vclr.models.ready import open_detector
from vclr.outputs import check_writable
from vclr.pictures import read_image, software_of, write_png
from vclr.pre_annotations.photo import FoundPhoto, Naming, take_objects
from vclr.pre_annotations.write import check_pre_annotations, name_photos, write_pre_annotations
from vclr.structures import Predictions

log = logging.getLogger("vclr.evaluation")

SOFTWARE = "vclr predict"  # noted in each picture, so that a later run knows what it may overwrite
OBJECT_NAMING = Naming(str(OBJECT["name"]))
OPACITY, LINE = 0.3, 1 / 220  # of the objects that are drawn: the photo stays visible


def predict_files(
    photos: Sequence[Path],
    checkpoint: Path,
    output: Path,
    min_score: float,
    device: str,
    config_file: Path | None = None,
    max_objects: int = 12,
    weights: str = "",
    formats: Sequence[str] = (),
    naming: Naming = OBJECT_NAMING,
) -> None:
    """Write `output/<stem>.json` (COCO results) and `output/<stem>.png` (objects drawn) for each photo.

    The objects that are drawn also become pre-annotations, in `output/<format>/`.

    Print one line per photo: the numbers of objects in the json and in the picture, and the picture's path.

    Args:
        photos: image files, folders of them, and patterns; see `find_photos`.
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

    Raises:
        UserError: a photo or the checkpoint cannot be read, or `output` cannot be written. The results of earlier
            photos are complete, and the pre-annotations hold these.
        UsageError: two photos have the same stem; or `output` holds the photos, or files of others or pre-annotations
            that would be replaced. Then nothing is written.
    """
    photos = find_photos(photos)
    names = name_photos(photos)
    check_pre_annotations(formats, names, output, naming)
    _check_output(photos, output)
    model, config = open_detector(checkpoint, device, config_file, weights)
    log.info("predicting on %s", describe_device(model.pixel_mean.device, device))
    mapper = config.dataloader.test.mapper
    pre_annotated: list[FoundPhoto] = []
    try:
        for photo, name in zip(photos, names, strict=True):
            image = read_image(photo)
            found = predict(model, image, mapper.short_edge_length, mapper.max_size)
            shown = choose_shown(found, min_score, max_objects)
            json_file, picture = _results_of(photo, output)
            masks = [found.masks[index] for index in reversed(shown)]  # the weakest first
            # The picture is written first: it tells a later run that both files are results of this command.
            write_png(picture, draw_objects(image, masks, opacity=OPACITY, line=LINE), software=SOFTWARE)
            write_json(json_file, as_results(found, photo.name))
            if formats:
                pre_annotated.append(take_objects(photo, name, found, shown))
            print(_describe(photo, found, shown, min_score, picture), flush=True)
    finally:
        if pre_annotated:
            for folder in write_pre_annotations(formats, pre_annotated, output, naming):
                print(f"{folder.name}: {_say_numbers(pre_annotated)} -> {folder}", flush=True)


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


def _describe(photo: Path, found: Predictions, shown: Sequence[int], min_score: float, picture: Path) -> str:
    note = ""
    if len(found) and found.scores[0] < min_score:
        note = f" (the best score is {found.scores[0]:.2f}; --min-score is {min_score:g})"
    return f"{photo.name}: {len(found)} object{'s' * (len(found) != 1)}, {len(shown)} drawn{note} -> {picture}"


def _check_output(photos: Sequence[Path], output: Path) -> None:
    """Refuse a folder in which results would replace the photos or other files."""
    if os.path.lexists(output) and not output.is_dir():
        raise UsageError(f"{output}: is not a folder; name a folder for the results")
    own = output.resolve()
    for photo in photos:
        if own in (photo.resolve().parent, Path(os.path.abspath(photo)).parent.resolve()):
            raise UsageError(f"{output}: holds the photos; the results need a folder of their own")
    for photo in photos:
        json_file, picture = _results_of(photo, output)
        for path, is_own in ((picture, software_of(picture) == SOFTWARE), (json_file, _is_own(json_file, picture))):
            if os.path.lexists(path) and not is_own:
                raise UsageError(f"{path}: was not written by `vclr predict`; name another folder")
    check_writable(output, str(output))


def _is_own(json_file: Path, picture: Path) -> bool:
    """Tell whether `vclr predict` wrote a json: its content looks like it, and so does the picture beside it."""
    if json_file.is_symlink() or software_of(picture) != SOFTWARE:
        return False
    try:
        results = read_json(json_file)
    except UserError:
        return False
    keys = {"file_name", "score", "segmentation"}
    return isinstance(results, list) and all(isinstance(one, dict) and keys <= one.keys() for one in results)
