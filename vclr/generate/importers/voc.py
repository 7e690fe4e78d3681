"""Convert pictures of instances, as in PASCAL VOC, to one COCO json."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

import numpy as np

from vclr.coco.annotations import encode_mask
from vclr.errors import UsageError, UserError
from vclr.file_names import list_files
from vclr.generate.importers.notes import Notes
from vclr.generate.importers.orientation import UNCLEAR, is_unclear
from vclr.generate.importers.photos import Photo, write_photos
from vclr.pictures import list_images, read_image_header, read_numbers
from vclr.progress import track

log = logging.getLogger("vclr.generate")

# By the value in SegmentationClass, from 1 on, with COCO's names, which splits and groups use.
VOC_NAMES = (
    "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorcycle", "person", "potted plant", "sheep", "couch", "train", "tv",
)  # fmt: skip
WITHOUT_CLASSES = "object"


def import_voc(
    folder: Path | None,
    output: Path,
    images: Path | None = None,
    masks: Path | None = None,
    classes: Path | None = None,
    quiet: bool = False,
) -> str:
    """Write a COCO json from pictures whose values number the objects of photos.

    0 is background; 255 (65535 with 16 bits) marks pixels that are not annotated, such as borders. With fewer than 8
    bits every value from 1 on is an object. A photo without such a picture is left out.

    Args:
        folder: holds `JPEGImages`, `SegmentationObject` and, if there are classes, `SegmentationClass`.
        output: the json to write.
        images: the folder of the photos, instead of the one in `folder`.
        masks: folder of PNG with the photos' stems, palette or gray, of 1 to 16 bits: the object of each pixel.
        classes: folder of PNG of the same names: the class of each pixel. In VOC's own layout it gets VOC's name,
            otherwise its number is the name.
        quiet: show no progress.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: one line that names the file and the bad object.
    """
    names: tuple[str, ...] = ()
    if folder is not None:
        images, masks = images or folder / "JPEGImages", masks or folder / "SegmentationObject"
        if classes is None and (folder / "SegmentationClass").is_dir():
            classes, names = folder / "SegmentationClass", VOC_NAMES
    if images is None or masks is None:
        raise UsageError("needs a folder in VOC's layout, or --images FOLDER and --masks FOLDER")
    if folder is not None and not masks.is_dir() and (boxes := _find_boxes(folder)) is not None:
        photos_of = images if images.is_dir() else boxes  # LabelImg writes its files beside the photos
        command = shlex.join(["vclr", "import", "makesense", str(boxes), "--images", str(photos_of)])
        raise UserError(f"{masks}: no such folder; `{command} --output NEW.json` imports the boxes in {boxes}")
    photos: dict[str, Path] = {}
    for photo in list_images(images):
        if photos.setdefault(photo.stem, photo) != photo:
            raise UserError(f"{photo}: has the same stem as {photos[photo.stem].name}, so its mask is ambiguous")
    pictures = [picture for picture in list_images(masks) if picture.suffix.lower() == ".png"]
    if missing := len(photos.keys() - {picture.stem for picture in pictures}):
        log.info("%s: left out %d of %d photos without a picture in %s", images, missing, len(photos), masks)
    read = []
    notes = Notes()
    for picture in track(pictures, "reading masks", quiet):
        if picture.stem not in photos:
            raise UserError(f"{picture}: has no photo in {images}")
        read.append(_read_photo(photos[picture.stem], picture, classes, names, notes))
    notes.warn(masks)
    return write_photos(output, read, names)


def _find_boxes(folder: Path) -> Path | None:
    """Return the folder of XML files with boxes: that of VOC's layout, or the one in which LabelImg wrote them."""
    return next((place for place in (folder / "Annotations", folder) if list_files(place.glob("*.xml"))), None)


def _read_photo(photo: Path, picture: Path, classes: Path | None, names: tuple[str, ...], notes: Notes) -> Photo:
    header = read_image_header(photo)
    size = header.height, header.width
    numbers = _read_numbers(picture, photo, size)
    if is_unclear(header, size):
        notes.add(UNCLEAR, photo.name)
    kinds = _read_numbers(classes / picture.name, photo, size) if classes is not None else None
    objects = []
    for number in np.unique(numbers[_is_annotated(numbers)]).tolist():
        mask = numbers == number
        name = WITHOUT_CLASSES
        if kinds is not None:
            name = _name_class(kinds[mask], names, f"{picture}: object {number}")
        objects.append((name, encode_mask(mask)))
    if not objects:
        log.warning("%s: has no object; the value %d does not count as one", picture, np.iinfo(numbers.dtype).max)
    return Photo(photo.name, *size, objects)


def _read_numbers(picture: Path, photo: Path, size: tuple[int, int]) -> np.ndarray:
    """Return the (h, w) values of a picture, uint8 or uint16; indices if it has a palette."""
    numbers = read_numbers(picture)
    if numbers.shape != size:
        (height, width), (wanted_height, wanted_width) = numbers.shape, size
        raise UserError(f"{picture}: is {width}x{height}, but its photo {photo.name} is {wanted_width}x{wanted_height}")
    return numbers


def _is_annotated(numbers: np.ndarray) -> np.ndarray:
    return (numbers > 0) & (numbers < np.iinfo(numbers.dtype).max)


def _name_class(kinds: np.ndarray, names: tuple[str, ...], entry: str) -> str:
    """Return the name of the class that most pixels of an object have."""
    annotated = kinds[_is_annotated(kinds)]
    if not len(annotated):
        raise UserError(f"{entry}: none of its pixels has a class")
    values, counts = np.unique(annotated, return_counts=True)
    value = int(values[counts.argmax()])
    if not names:
        return str(value)
    if value > len(names):
        raise UserError(f"{entry}: has class {value}, but there are only {len(names)}")
    return names[value - 1]
