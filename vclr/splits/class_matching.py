"""Find the categories of a json that are classes of a list: by name, by WordNet synset, or by another set's names.

Each function returns category ids. A class that is missing is an error, since it would be taken for a novel one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from vclr.catalog.classes import COCO_SYNSETS
from vclr.coco.annotations import Json, category_ids
from vclr.errors import UserError, nearest

# Classes of COCO that a release of LVIS lacks: v1 has no hot dog, v0.5 has neither.
NOT_IN_LVIS = ("hot dog", "oven")

# Names in Objects365 v2 of classes of COCO, if they differ by more than capitals. Official files misspell two of them
# and corrected copies do not, so both spellings are listed.
OBJECTS365_NAMES = {
    "bird": ("Wild Bird",),
    "handbag": ("Handbag/Satchel",),
    "suitcase": ("Luggage",),
    "skis": ("Skiboard",),
    "sports ball": ("Other Balls",),
    "bowl": ("Bowl/Basin",),
    "orange": ("Orange/Tangerine",),
    "dining table": ("Dining Table", "Dinning Table"),
    "tv": ("Monitor/TV", "Moniter/TV"),
    "teddy bear": ("Stuffed Toy",),
    "hair drier": ("Hair Dryer",),
}


class Kinds(NamedTuple):
    """Finer classes of Objects365 that count as one class of COCO, and the reason for it if it is not their name."""

    names: tuple[str, ...]
    because: str = ""


# A detector trained on COCO knows the objects of these classes, because they are labeled in COCO. docs/data.md lists
# them, with the classes of Objects365 that are alike and count as novel.
OBJECTS365_KINDS = {
    "car": Kinds(("SUV", "Sports Car", "Formula 1"), "cars by every definition"),
    "truck": Kinds(
        ("Van", "Pickup Truck", "Heavy Truck", "Fire Truck", "Ambulance"), "COCO has vans as trucks or cars"
    ),
    "boat": Kinds(("Sailboat", "Ship"), "COCO's boats are of any size"),
    "bird": Kinds(
        ("Duck", "Goose", "Swan", "Pigeon", "Parrot", "Penguin", "Chicken"),
        "a living chicken, not a meal",
    ),
    "tie": Kinds(("Bow Tie",)),
    "sports ball": Kinds(
        ("Soccer", "Basketball", "Volleyball", "Baseball", "American Football", "Tennis", "Golf Ball", "Billiards")
        + ("Billards", "Table Tennis"),
        "the ball that each is played with; rackets and cues are classes of their own",
    ),
    "chair": Kinds(("Wheelchair",)),
    "sandwich": Kinds(("Hamburger",), "COCO has no other class for what lies between two halves of a bun"),
    "toilet": Kinds(("Urinal",), "COCO's annotators draw urinals as toilets"),
}

# (categories of a json, names of classes, what errors call the json) -> ids of the categories that are these classes
Matcher = Callable[[list[Json], Iterable[str], str], set[int]]


def match_names(categories: list[Json], classes: Iterable[str], source: str) -> set[int]:
    """Find classes by their own names."""
    return category_ids({"categories": categories}, list(classes), source)


def match_synsets(categories: list[Json], classes: Iterable[str], source: str) -> set[int]:
    """Find COCO classes in LVIS, whose categories carry the WordNet synset.

    Raises:
        UserError: a category without `synset`, or a COCO class that LVIS has and the json has not.
    """
    by_synset: dict[str, set[int]] = {}
    for position, category in enumerate(categories):
        if not isinstance(category.get("synset"), str):
            raise UserError(f"{source}: categories[{position}]: has no `synset`; is this LVIS?")
        by_synset.setdefault(category["synset"], set()).add(category["id"])
    return _join(by_synset, {name: (COCO_SYNSETS[name],) for name in classes}, NOT_IN_LVIS, source)


def match_objects365(categories: list[Json], classes: Iterable[str], source: str) -> set[int]:
    """Find COCO classes, and their finer kinds, in Objects365, whatever the capitals."""
    by_name: dict[str, set[int]] = {}
    for category in categories:
        by_name.setdefault(_plain(category["name"]), set()).add(category["id"])
    counterparts = {name: OBJECTS365_NAMES.get(name, (name,)) for name in classes}
    plain = {name: tuple(map(_plain, names)) for name, names in counterparts.items()}
    kinds = [_plain(kind) for name in plain if name in OBJECTS365_KINDS for kind in OBJECTS365_KINDS[name].names]
    return _join(by_name, plain, (), source).union(*(by_name.get(kind, set()) for kind in kinds))


def _plain(name: str) -> str:
    """Return a name without capitals and odd spaces: official files have `Table Tennis ` beside `Hot dog`."""
    return " ".join(name.casefold().split())


def _join(
    there: dict[str, set[int]], wanted: dict[str, tuple[str, ...]], optional: Iterable[str], source: str
) -> set[int]:
    """Return the ids of all that is wanted, by what each class may be called."""
    found: set[int] = set()
    for name, spellings in wanted.items():
        ids = set().union(*(there.get(spelling, set()) for spelling in spellings))
        if not ids and name not in optional:
            near = f"; nearest: {nearest(spellings[0], there)!r}" if there else ""
            raise UserError(f"{source}: has no category for COCO's {name!r} ({' or '.join(spellings)}){near}")
        found |= ids
    return found


# How a split finds its classes in a json, by the name that the catalog uses.
MATCHERS: dict[str, Matcher] = {"names": match_names, "synsets": match_synsets, "objects365": match_objects365}
