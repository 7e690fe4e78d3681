"""Read the project of VIA 3: its views, files and metadata, as the regions of VIA 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vclr.coco.annotations import Json
from vclr.errors import UserError
from vclr.wording import short

SHAPES = {1: "point", 5: "line", 6: "polyline"}  # without an area
IMAGE = 2  # the type of a file


def read_project(content: Json, source: Path) -> dict[str, list[tuple[Json, Json, str]]]:
    """Return the shape, the attributes and the place of each region, by the name of its photo.

    Raises:
        UserError: one line that names the bad entry.
    """
    files, views, about = (content.get(key) for key in ("file", "view", "attribute"))
    if not isinstance(files, dict) or not isinstance(views, dict) or not isinstance(about, dict):
        raise UserError(f"{source}: is not a project of VIA 3 (needs file, view, attribute and metadata)")
    photos = {key: _photo_of(view, files) for key, view in views.items()}
    found: dict[str, list[tuple[Json, Json, str]]] = {name: [] for name in photos.values() if name is not None}
    for key, region in content["metadata"].items():
        entry = f"{source}: metadata {key}"
        name = photos.get(str(region.get("vid"))) if isinstance(region, dict) else None
        if not isinstance(region, dict) or name is None:
            raise UserError(f"{entry}: is not of a view of one photo; only photos are imported, no videos and pairs")
        place = region.get("xy")
        if place:
            found[name].append((_shape_of(place, entry), _attributes_of(region.get("av"), about), entry))
    return found


def _photo_of(view: Any, files: Json) -> str | None:
    """Return the name of a view's only photo, None if it shows something else."""
    listed = view.get("fid_list") if isinstance(view, dict) else None
    if not isinstance(listed, list) or len(listed) != 1:
        return None
    file = files.get(str(listed[0]))
    if not isinstance(file, dict) or file.get("type", IMAGE) != IMAGE:
        return None
    named = file.get("fname") or file.get("src")
    if not isinstance(named, str):
        return None
    return unquote(named.partition("://")[2].partition("/")[2]) if "://" in named else named


def _shape_of(place: Any, entry: str) -> Json:
    """Return [shape, coordinate, ...] as the shape's attributes of VIA 2."""
    if not isinstance(place, list) or not all(isinstance(value, (int, float)) for value in place):
        raise UserError(f"{entry}: `xy` is not a list of numbers")
    kind, numbers = place[0], place[1:]
    if kind in SHAPES:
        return {"name": SHAPES[kind]}
    if kind == 7:
        return {"name": "polygon", "all_points_x": numbers[::2], "all_points_y": numbers[1::2]}
    keys = {2: ("x", "y", "width", "height"), 3: ("cx", "cy", "r"), 4: ("cx", "cy", "rx", "ry")}.get(kind)
    names = {2: "rect", 3: "circle", 4: "ellipse"}
    if keys is None or len(numbers) != len(keys):
        raise UserError(f"{entry}: cannot import a shape of kind {short(kind)} with {len(numbers)} numbers")
    return {"name": names[kind], **dict(zip(keys, numbers, strict=True))}


def _attributes_of(values: Any, about: Json) -> Json:
    """Return the values of attributes by their names, with the texts of their options.

    The choices of a checkbox, `0,2`, become {text: true} as in VIA 2.
    """
    named: Json = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        known = about.get(key)
        known = known if isinstance(known, dict) else {}
        options = known.get("options")
        options = options if isinstance(options, dict) else {}
        shown = options.get(str(value))
        chosen = value.split(",") if isinstance(value, str) else []
        if len(chosen) > 1 and all(isinstance(options.get(number), str) for number in chosen):
            shown, value = None, {options[number]: True for number in chosen}
        named[str(known.get("aname", key))] = shown if isinstance(shown, str) and shown else value
    return named
