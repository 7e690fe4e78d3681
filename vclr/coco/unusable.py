"""Annotations that can be read but not used: they are dropped, counted by kind, and reported once per file.

What is dropped follows the field's tools: detectron2 drops polygons under three points or with an odd number of
coordinates, and the objects that then have none left; the loaders of DETR and torchvision drop empty boxes.
"""

from __future__ import annotations

import logging
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from vclr.errors import in_one_line

log = logging.getLogger("vclr.coco")

EMPTY_BOX = "empty boxes"
SHORT_POLYGON = "polygons under three points"
ODD_POLYGON = "polygons with an odd number of coordinates"
SINGULAR = {
    EMPTY_BOX: "empty box",
    SHORT_POLYGON: "polygon under three points",
    ODD_POLYGON: "polygon with an odd number of coordinates",
}

MAX_EXAMPLES = 3  # of each kind


class Unusable(NamedTuple):
    """One unusable part of an annotation: its kind, and its measurements."""

    kind: str
    says: str


class Verdict(NamedTuple):
    """The result of the check of an annotation.

    Attributes:
        place: where it is in its file.
        problems: its unusable parts.
        is_kept: it can be used without these parts.
    """

    place: str
    problems: list[Unusable]
    is_kept: bool


def find_unusable(box: list[float], segmentation: Any) -> tuple[list[Unusable], bool]:
    """Return the unusable parts of an annotation, and whether it can be used without them."""
    polygons = segmentation if isinstance(segmentation, list) else []
    problems = list(find_unusable_polygons(polygons))
    has_shape = not polygons or len(problems) < len(polygons)
    left, top, width, height = box
    is_empty = left + width <= left or top + height <= top  # a tiny side may vanish by rounding
    if is_empty:
        problems.insert(0, Unusable(EMPTY_BOX, f"box is {width:g}x{height:g} px"))
    return problems, has_shape and not is_empty


def find_unusable_polygons(polygons: list[Any]) -> Iterator[Unusable]:
    """Yield the polygons that outline nothing."""
    for number, polygon in enumerate(polygons):
        if not _is_usable(polygon):
            if len(polygon) % 2:
                yield Unusable(ODD_POLYGON, f"polygon {number} has {len(polygon)} coordinates, an odd number")
            else:
                yield short_polygon(f"polygon {number}", len(polygon) // 2)


def short_polygon(name: str, num_points: int) -> Unusable:
    """Return the problem of a polygon under three points, which the message calls `name`."""
    return Unusable(SHORT_POLYGON, f"{name} has {num_points} point{'s' * (num_points != 1)}, fewer than 3")


def remove_unusable_polygons(annotation: Any) -> Any:
    """Remove the unusable polygons of an annotation, which may be unchecked, in place, and return it."""
    polygons = annotation.get("segmentation") if isinstance(annotation, dict) else None
    if isinstance(polygons, list) and not all(map(_is_usable, polygons)):
        annotation["segmentation"] = list(filter(_is_usable, polygons))
    return annotation


def _is_usable(polygon: Any) -> bool:
    return not isinstance(polygon, list) or (len(polygon) >= 6 and len(polygon) % 2 == 0)


@dataclass
class Dropped:
    """Counts of what was dropped from a file.

    Attributes:
        annotations: number of annotations that were dropped, by the kind of their first problem.
        polygons: number of polygons that were dropped from annotations that are kept, by kind.
        examples: the first problems of each kind; the kinds are in the order of the file.
        what: what the file calls its annotations.
    """

    annotations: Counter[str] = field(default_factory=Counter)
    polygons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    what: str = "annotations"

    def add(self, verdict: Verdict) -> None:
        """Count the problems of an annotation."""
        if not verdict.problems:
            return
        if verdict.is_kept:
            self.polygons.update(problem.kind for problem in verdict.problems)
        else:
            self.annotations[verdict.problems[0].kind] += 1
        for kind, says in verdict.problems if verdict.is_kept else verdict.problems[:1]:
            examples = self.examples.setdefault(kind, [])
            if len(examples) < MAX_EXAMPLES:
                examples.append(f"{verdict.place}: {says}")

    def say(self, num_annotations: int) -> str:
        """Return what was dropped of so many annotations, in words; an empty string if nothing was."""
        counts = self._say_counts(self.annotations.total(), self.polygons.total(), num_annotations)
        kinds = [_say_kinds(of_kind) for of_kind in (self.annotations, self.polygons) if of_kind]
        return ", ".join(f"{count} ({those})" for count, those in zip(counts, kinds, strict=True))

    def say_kind(self, kind: str, num_annotations: int) -> str:
        """Return the same of one kind, without its name."""
        return ", ".join(self._say_counts(self.annotations[kind], self.polygons[kind], num_annotations))

    def warn(self, path: str | Path, num_annotations: int, fix: str = "") -> None:
        """Log once per file what was dropped, the first example, and how to get a file without it."""
        if says := self.say(num_annotations):
            first = next(iter(self.examples.values()))[0]
            version = Path(path).stat().st_mtime_ns if Path(path).exists() else 0  # 0: the name of no file
            _warn_once(f"{path}: {says}; first: {first}{fix}", version)

    def _say_counts(self, annotations: int, polygons: int, num_annotations: int) -> list[str]:
        says = [f"{annotations} of {num_annotations} {self.what} dropped"] if annotations else []
        if polygons:
            dropped = "1 polygon" if polygons == 1 else f"{polygons} polygons"
            says.append(f"{dropped} dropped from {self.what} that are kept")
        return says


def say_repair(path: str | Path) -> str:
    """Return the command that writes a file without the entries that are dropped."""
    return f"`vclr repair {shlex.quote(str(path))} --output NEW.json` writes a clean file"


def _say_kinds(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {SINGULAR[kind] if count == 1 else kind}" for kind, count in counts.items())


@lru_cache(maxsize=64)
def _warn_once(line: str, _version: int) -> None:
    """Log a warning about a version of a file, which several stages of a command may read."""
    log.warning(in_one_line(line))
