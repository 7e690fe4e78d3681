"""Which categories of a json are the classes of a list: by name, by WordNet synset, by the names of another data set.

Each function returns category ids, and fails with one line where the json cannot be what it should be: a class that is
not found would be taken for a novel one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vclr.coco.annotations import Json, category_ids
from vclr.errors import UserError, nearest
from vclr.splits.classes import COCO_SYNSETS, NOT_IN_LVIS, OBJECTS365_KINDS, OBJECTS365_NAMES

# (categories of a json, names of classes, what errors call the json) -> ids of the categories that are these classes
Matcher = Callable[[list[Json], Iterable[str], str], set[int]]


def match_names(categories: list[Json], classes: Iterable[str], source: str) -> set[int]:
    """Find classes by their own names.

    Raises:
        UserError: a class is no category of the json; names the nearest.
    """
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
    """Find COCO classes, and their finer kinds, in Objects365, whatever the capitals.

    Raises:
        UserError: a COCO class that has no counterpart in the json; names the nearest category.
    """
    by_name: dict[str, set[int]] = {}
    for category in categories:
        by_name.setdefault(_plain(category["name"]), set()).add(category["id"])
    counterparts = {name: OBJECTS365_NAMES.get(name, (name,)) for name in classes}
    plain = {name: tuple(map(_plain, names)) for name, names in counterparts.items()}
    kinds = [_plain(kind) for name in plain for kind in OBJECTS365_KINDS.get(name, ())]
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
