"""Check every entry of a COCO json of any size, without stopping at the first bad one."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from vclr.coco.annotations import say_contents
from vclr.coco.checks import CocoChecks, EntryError, Json, is_proposal
from vclr.coco.file import CocoFile
from vclr.coco.units import Units
from vclr.coco.unusable import Dropped, Verdict, say_repair
from vclr.data.doctor import kinds
from vclr.data.doctor.box_layout import BoxLayout
from vclr.data.doctor.kinds import REFUSED, Kind, Use
from vclr.data.doctor.objects import examine_object
from vclr.errors import UserError
from vclr.finding import ERROR, OK, WARNING, Finding
from vclr.json_text import parse_json_with_bad_numbers, say_bad_number
from vclr.wording import count_of
from vclr.worker_pool import WorkerPool

BLOCK = 2000  # annotations: half a second of work
WAYS = ("polygons", "uncompressed RLE", "compressed RLE")  # formats of a mask


@dataclass
class Contents:
    """The usable content of a json.

    Attributes:
        images: the entries, by their position in the json.
        categories: the entries.
        with_object: ids of the images that have an annotation that is not a crowd.
        with_crowd: ids of the images that have a crowd.
        num_objects: number of annotations that are not crowds.
        num_crowds: number of annotations that are crowds.
        by_class: number of annotations by category id.
        masks: number of annotations by the format of their masks, and of those without `area`.
        without_score: positions and ids of the annotations whose `score` is not a number.
    """

    images: dict[int, Json] = field(default_factory=dict)
    categories: list[Json] = field(default_factory=list)
    with_object: set[Any] = field(default_factory=set)
    with_crowd: set[Any] = field(default_factory=set)
    num_objects: int = 0
    num_crowds: int = 0
    by_class: Counter[int] = field(default_factory=Counter)
    masks: Counter[str] = field(default_factory=Counter)
    without_score: list[tuple[int, Any]] = field(default_factory=list)


class _Seen(NamedTuple):
    """The part of an annotation that is counted and compared with other annotations."""

    position: int
    id: Any
    image_id: Any
    category_id: int
    is_crowd: bool
    is_kept: bool
    has_score: bool
    digest: int  # of image, class and box


@dataclass
class _Examined:
    """The results for a block of annotations."""

    errors: list[tuple[str, str]] = field(default_factory=list)  # topic and line
    found: list[tuple[Kind, str]] = field(default_factory=list)
    unusable: list[Verdict] = field(default_factory=list)
    seen: list[_Seen] = field(default_factory=list)
    units: Units = field(default_factory=Units)
    layout: BoxLayout = field(default_factory=BoxLayout)
    masks: Counter[str] = field(default_factory=Counter)


class _Examiner(NamedTuple):
    """What the check of a block needs to know about the whole json."""

    checks: CocoChecks
    unusable: set[Any]  # ids of images that have been reported already
    bad_numbers: set[int]  # positions of annotations whose NaN or infinity has been reported already


def check_annotations(coco: CocoFile, use: Use, pool: WorkerPool) -> tuple[list[Finding], Contents]:
    """Check the entries of a json individually and against each other.

    Returns:
        The findings, and the usable content of the json.
    """
    checks = CocoChecks(coco.path, [])
    findings = [_refusal("number", f"{coco.path}: {bad.says}") for bad in coco.bad_numbers]
    contents = Contents(categories=_usable_categories(coco, checks, findings))
    contents.images, unusable = _usable_images(coco, checks, findings)
    examiner = _Examiner(checks, unusable, _bad_positions(coco, "annotations"))
    first_of_id: dict[Any, int] = {}
    first_of_digest: dict[int, int] = {}
    units, layout, dropped = Units(), BoxLayout(), Dropped()
    for block in pool.map_blocks(_examine_block, examiner, coco.annotations, BLOCK, f"checking {coco.path.name}"):
        findings += [_refusal(topic, says) for topic, says in block.errors]
        findings += [finding for kind, says in block.found for finding in kind.found(use, says)]
        for verdict in block.unusable:
            dropped.add(verdict)
        contents.masks += block.masks
        units.merge(block.units)
        layout.merge(block.layout)
        for seen in block.seen:
            entry = f"{coco.path}: annotations[{seen.position}] (id {seen.id})"
            if first_of_id.setdefault(seen.id, seen.position) != seen.position:
                findings.append(_refusal("id that occurs twice", f"{entry}: the id occurs twice"))
                continue
            if not seen.is_kept:
                continue
            first = first_of_digest.setdefault(seen.digest, seen.position)
            if first != seen.position:
                findings += kinds.DUPLICATE.found(use, f"{entry}: repeats image, class and box of annotations[{first}]")
            _count(seen, contents)
    if says := units.say_shares():
        findings.append(_refusal("units", f"{coco.path}: {says}"))
    else:
        findings += layout.examine(coco.path, use)
    findings += _list_dropped(coco, dropped)
    return findings + _check_images(coco, contents, use), contents


def _list_dropped(coco: CocoFile, dropped: Dropped) -> list[Finding]:
    """Report each kind of what every reader drops: how often it occurs, and where first."""
    total, fix = len(coco.annotations), say_repair(coco.path)
    return [
        Finding(WARNING, kind, f"{coco.path}: {dropped.say_kind(kind, total)}; first: {examples[0]}", fix)
        for kind, examples in dropped.examples.items()
    ]


def _usable_categories(coco: CocoFile, checks: CocoChecks, findings: list[Finding]) -> list[Json]:
    if not isinstance(coco.categories, list):
        findings.append(_refusal("form of an entry", f"{coco.path}: `categories` is not a list"))
        return []
    usable = []
    for position, category in enumerate(coco.categories):
        try:
            checks.check_category(position, category)
            usable.append(category)
        except EntryError as error:
            findings.append(_refusal(error.topic, str(error)))
    return usable


def _usable_images(coco: CocoFile, checks: CocoChecks, findings: list[Finding]) -> tuple[dict[int, Json], set[Any]]:
    """Return the usable images by their position, and the ids of the others."""
    usable, unusable, bad_positions = {}, set(), _bad_positions(coco, "images")
    for position, image in enumerate(coco.images):
        if position not in bad_positions:
            try:
                checks.check_image(position, image)
                usable[position] = image
                continue
            except EntryError as error:
                findings.append(_refusal(error.topic, str(error)))
        if isinstance(image, dict):
            unusable.add(_usable_id(image.get("id")))
    return usable, unusable - {None}


def _bad_positions(coco: CocoFile, key: str) -> set[int]:
    return {bad.position for bad in coco.bad_numbers if bad.key == key and bad.position is not None}


def _refusal(topic: str, says: str) -> Finding:
    return Finding(ERROR, topic, f"{says}; {REFUSED}")


def _usable_id(value: Any) -> Any:
    return value if isinstance(value, (int, str)) else None


def _examine_block(examiner: _Examiner, start: int, block: Sequence[msgspec.Raw]) -> _Examined:
    examined = _Examined()
    for position, raw in enumerate(block, start):
        if position in examiner.bad_numbers:
            continue
        try:
            annotation = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            examined.errors.append(("json", _say_unreadable(examiner.checks.path, position, bytes(raw), error)))
            continue
        try:
            verdict = examiner.checks.check_alone(position, annotation)
        except EntryError as error:
            if not (isinstance(annotation, dict) and _usable_id(annotation.get("image_id")) in examiner.unusable):
                examined.errors.append((error.topic, str(error)))
            continue
        seen = _see(position, annotation, verdict.is_kept)
        examined.seen.append(seen)
        if verdict.problems:
            examined.unusable.append(verdict)
        if not verdict.is_kept:
            continue
        entry = f"{examiner.checks.path}: {verdict.place}"
        size = examiner.checks.sizes[seen.image_id]
        if examined.units.are_open:
            examined.units.add(annotation, size)
        examined.layout.add(annotation["bbox"], *size)
        for kind, says in examine_object(annotation, *size):
            examined.found.append((kind.of_crowd() if seen.is_crowd else kind, f"{entry}: {says}"))
        examined.masks[_way_of(annotation)] += 1
        examined.masks["without area"] += "area" not in annotation
    return examined


def _say_unreadable(path: str | Path, position: int, text: bytes, error: Exception) -> str:
    """Say what is wrong with an annotation that is json, but nested too deeply or with too large a number."""
    try:
        bad_number = say_bad_number("annotations", position, parse_json_with_bad_numbers(text, path))
    except UserError as exact:
        return str(exact)
    return f"{path}: {bad_number}" if bad_number else f"{path}: annotations[{position}]: not usable json: {error}"


def _see(position: int, annotation: Json, is_kept: bool) -> _Seen:
    image_id, category_id = annotation["image_id"], annotation["category_id"]
    identity = repr((image_id, category_id)).encode() + struct.pack("4d", *annotation["bbox"])
    digest = int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest(), "big")
    is_crowd = bool(annotation.get("iscrowd", 0))
    return _Seen(position, annotation["id"], image_id, category_id, is_crowd, is_kept, is_proposal(annotation), digest)


def _way_of(annotation: Json) -> str:
    segmentation = annotation.get("segmentation")
    if segmentation is None:
        return "none"
    if isinstance(segmentation, list):
        return "polygons"
    return "uncompressed RLE" if isinstance(segmentation["counts"], list) else "compressed RLE"


def _count(seen: _Seen, contents: Contents) -> None:
    if seen.is_crowd:
        contents.num_crowds += 1
        contents.with_crowd.add(seen.image_id)
    else:
        contents.num_objects += 1
        contents.with_object.add(seen.image_id)
    contents.by_class[seen.category_id] += 1
    if not seen.has_score:
        contents.without_score.append((seen.position, seen.id))


def _check_images(coco: CocoFile, contents: Contents, use: Use) -> list[Finding]:
    """Find images without objects, and data sets without any object."""
    findings = []
    keeps = replace(use, trains=use.trains and use.keeps_empty_train, evaluates=use.evaluates and use.keeps_empty_test)
    drops = replace(use, trains=use.trains and not keeps.trains, evaluates=use.evaluates and not keeps.evaluates)
    looks = replace(drops, trains=drops.trains and use.has_proposals, evaluates=False)  # whether there is a proposal
    drops = replace(drops, trains=drops.trains and not use.has_proposals)
    for position, image in contents.images.items():
        if image["id"] not in contents.with_object:
            has = "only crowds" if image["id"] in contents.with_crowd else "no annotations"
            says = f"{coco.path}: images[{position}] (id {image['id']}, {image['file_name']}): has {has}"
            findings += kinds.EMPTY_IMAGE.found(drops, says) + kinds.KEPT_EMPTY_IMAGE.found(keeps, says)
            findings += kinds.PROPOSED_IMAGE.found(looks, says)
    if not contents.with_object:
        nothing_left = drops if contents.images else use
        findings += kinds.NO_OBJECT.found(nothing_left, f"{coco.path}: has no image with an object")
    return findings


def note_contents(coco: CocoFile, contents: Contents) -> list[Finding]:
    """Describe the content of a json, and which parts of it are treated specially."""
    path, masks = coco.path, contents.masks
    counts = say_contents(len(contents.images), contents.num_objects, contents.num_crowds)
    classes = count_of(len(contents.by_class), "class", "classes")
    notes = [Finding(OK, "contents", f"{path}: {counts}, {classes}")]
    if contents.num_crowds:
        says = "left out of training; in evaluation, detections on a crowd are ignored"
        notes.append(Finding(OK, "crowds", f"{path}: has {count_of(contents.num_crowds, 'crowd')}: {says}"))
    if written := [f"{masks[way]} as {way}" for way in WAYS if masks[way]]:
        notes.append(Finding(OK, "masks", f"{path}: {', '.join(written)}; all are read"))
    if masks["none"]:
        says = f"no mask in {count_of(masks['none'], 'annotation')}; boxes are used instead"
        notes.append(Finding(OK, "masks", f"{path}: {says}"))
    if masks["without area"]:
        says = f"no area in {count_of(masks['without area'], 'annotation')}; evaluation takes the size of the box"
        notes.append(Finding(OK, "area", f"{path}: {says}"))
    return notes
