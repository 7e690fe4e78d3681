"""Say which annotation tool's habits a COCO json shows, and which import undoes them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import msgspec

from vclr.catalog.import_tools import IMPORT_TOOLS
from vclr.coco.file import CocoFile
from vclr.coco.habits import (
    are_mostly_crowds,
    find_root_category,
    is_brush_crowd,
    is_label_studio_path,
    is_windows_path,
    last_part,
    original_name,
    without_upload_hash,
)
from vclr.data.doctor import kinds
from vclr.data.doctor.annotations import Contents
from vclr.data.doctor.kinds import Use
from vclr.finding import OK, Finding
from vclr.wording import count_of, short

FLAT = re.compile(rb'"segmentation"\s*:\s*\[\s*-?[\d.]')
TOPIC = "habit of a tool"


def check_habits(coco: CocoFile, contents: Contents, use: Use) -> list[Finding]:
    """Find the habits of annotation tools: what each is, whose it is, and the import that undoes it."""
    findings = []
    for tool, says in (*_examine_categories(coco, contents), *_examine_names(coco)):
        findings.append(Finding(OK, TOPIC, f"{coco.path}: {says}; {_say_import(coco, tool)}"))
    flat = [number for number, text in enumerate(coco.annotations) if FLAT.search(bytes(text))]
    if flat:
        says = f"{count_of(len(flat), 'polygon')} written as one flat list, from annotations[{flat[0]}] on"
        findings.append(
            Finding(OK, TOPIC, f"{coco.path}: {says}, as {_title('via')} writes; {_say_import(coco, 'via')}")
        )
    brushes = [number for number, text in enumerate(coco.annotations) if _is_brush(bytes(text))]
    if brushes or are_mostly_crowds(contents.num_crowds, contents.num_objects):
        says = f"{count_of(len(brushes) or contents.num_crowds, 'mask')} marked as crowds"
        says += f", from annotations[{brushes[0]}] on" if brushes else f", and only {contents.num_objects} not"
        says += f", as {_title('cvat')} marks every brush mask; {_say_import(coco, 'cvat')}"
        findings += kinds.BRUSH_CROWD.found(use, f"{coco.path}: {says}")
    return findings


def _title(tool: str) -> str:
    return IMPORT_TOOLS[tool].title


def _say_import(coco: CocoFile, tool: str) -> str:
    return f"`vclr import {tool} {shlex.quote(str(coco.path))} --images DIR --output NEW.json` undoes it"


def _examine_categories(coco: CocoFile, contents: Contents) -> Iterator[tuple[str, str]]:
    """Yield the tool and the habit that the categories show."""
    categories: list[Any] = coco.categories if isinstance(coco.categories, list) else []
    root = find_root_category(categories, set(contents.by_class))
    if root is not None:
        says = f"category {root.get('name')!r} (id {short(root.get('id'))}) has no objects"
        yield "roboflow", f"{says}: it is {_title('roboflow')}'s extra root category"
    texts = [one for one in categories if isinstance(one, dict) and isinstance(one.get("id"), str)]
    if texts:
        yield "coco", f"{count_of(len(texts), 'category', 'categories')} with an id written as text"


def _examine_names(coco: CocoFile) -> Iterator[tuple[str, str]]:
    """Yield the tool and the habit that the names of the photos show."""
    images = [image for image in coco.images if isinstance(image, dict) and isinstance(image.get("file_name"), str)]
    names = [image["file_name"] for image in images]
    renamed = [image["file_name"] for image in images if original_name(image) is not None]
    uploaded = [name for name in names if without_upload_hash(last_part(name)) != last_part(name)]
    label_studio = _title("labelstudio")
    for tool, says, found in (
        ("roboflow", f"as {_title('roboflow')} renames photos", renamed),
        ("labelstudio", f"with backslashes, as {label_studio} writes on Windows", list(filter(is_windows_path, names))),
        ("labelstudio", f"as {label_studio} renames uploaded photos", uploaded),
        ("labelstudio", f"that are paths in {label_studio}'s storage", list(filter(is_label_studio_path, names))),
    ):
        if found:
            yield tool, f"{count_of(len(found), 'name')} {says} ({found[0]!r})"


def _is_brush(text: bytes) -> bool:
    """Tell whether the text of an annotation is that of a brush mask which CVAT marked as a crowd."""
    if b'"attributes"' not in text or b'"counts"' not in text:
        return False
    try:
        annotation = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(annotation, dict) and is_brush_crowd(annotation)
