"""Find the photos, the labels and the class names of a YOLO data set: data.yaml, or folders of labels."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vclr.errors import UserError
from vclr.file_names import list_files, say_nearest
from vclr.files import read_bytes
from vclr.json_text import decode_text

SETTINGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "names.txt")  # Label Studio, CVAT and Darknet, makesense
NOTHING: tuple[Any, ...] = (None, "", "null", "~", [])  # values of a part that there is not
PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}  # and how data.yaml calls them


@dataclass
class Layout:
    """A YOLO data set.

    Attributes:
        folder: what its paths are relative to.
        names: class names by their number.
        parts: for each part, the photos, folders and lists that it names; empty if there is no data.yaml.
        has_keypoints: rows have keypoints after the box.
    """

    folder: Path
    names: dict[int, str]
    parts: dict[str, list[str]] = field(default_factory=dict)
    has_keypoints: bool = False


def read_layout(source: Path, classes: Path | None) -> Layout:
    """Read the layout of a data set.

    Args:
        source: data.yaml, or a folder that holds it, or a folder of labels.
        classes: a text file with a class name per line, instead of those that the data set names.

    Raises:
        UserError: nothing says how the classes are called, or a file is not as documented.
    """
    if not source.exists():
        raise UserError(f"{source}: does not exist{say_nearest(source)}")
    settings = source if source.is_file() else _find_settings(source)
    if settings is None:
        named = classes or _find_names(source)
        if named is None:
            looked = ", ".join((SETTINGS[0], *NAME_FILES))
            raise UserError(f"{source}: has none of {looked}; name the classes with --classes FILE, one per line")
        return Layout(source, _read_names(named))
    if settings.suffix.lower() not in (".yaml", ".yml"):
        raise UserError(f"{settings}: is not data.yaml; name that, or the folder of the data set")
    content = _read_yaml(settings)
    folder = settings.parent
    if isinstance(content.get("path"), str):
        folder = next((place for place in (folder / content["path"], Path(content["path"])) if place.is_dir()), folder)
    names = _read_names(classes) if classes is not None else _names_of(content, settings)
    parts = {}
    for part, keys in PARTS.items():
        found = next((content[key] for key in keys if content.get(key) not in NOTHING), None)
        if found is not None:
            parts[part] = [str(one) for one in (found if isinstance(found, list) else [found])]
    return Layout(folder, names, parts, "kpt_shape" in content)


def list_part(layout: Layout, places: list[str], settings: Path) -> list[str] | None:
    """Return the photos that a part names, or paths of folders that end in a slash; None if they do not exist."""
    photos: list[str] = []
    for place in places:
        found = _locate(place, layout.folder, settings)
        if found is None:
            return None
        if found.is_dir():
            photos.append(f"{found.as_posix()}/")
        elif found.suffix.lower() == ".txt":
            lines = decode_text(read_bytes(found), found).splitlines()
            photos += [line.strip().replace("\\", "/") for line in lines if line.strip()]
        else:
            photos.append(found.as_posix())
    return photos


def _locate(place: str, folder: Path, settings: Path) -> Path | None:
    """Return the path that data.yaml means; Roboflow writes `../train/images` for `train/images` beside it."""
    place = place.replace("\\", "/")
    bases = (folder, settings.parent if settings.is_file() else settings)
    tried = [base / form for form in (place, re.sub(r"^(\.\./)+", "", place)) for base in bases]
    return next((path for path in tried if path.exists()), None)


def _find_settings(folder: Path) -> Path | None:
    for name in SETTINGS:
        if (folder / name).is_file():
            return folder / name
    others = list_files((*folder.glob("*.yaml"), *folder.glob("*.yml")))
    return others[0] if len(others) == 1 else None


def _find_names(folder: Path) -> Path | None:
    return next(
        (place / name for place in (folder, folder.parent) for name in NAME_FILES if (place / name).is_file()), None
    )


def _read_names(path: Path) -> dict[int, str]:
    lines = [line.strip() for line in decode_text(read_bytes(path), path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or not all(lines):
        raise UserError(f"{path}: needs a class name in each line")
    return dict(enumerate(lines))


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read data.yaml with all values as text: a class may be called `yes`, `on` or `1e3`."""
    try:
        content = yaml.load(decode_text(read_bytes(path), path), yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not the data.yaml of a YOLO data set (needs `names`)")
    return content


def _names_of(content: dict[str, Any], path: Path) -> dict[int, str]:
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise UserError(
            f"{path}: `names` is neither a list nor numbers with names; name the classes with --classes FILE"
        )
    try:
        return {int(number): str(name) for number, name in names.items()}
    except (TypeError, ValueError):
        raise UserError(f"{path}: `names` has a key that is not the number of a class") from None
