"""Annotations that hold object proposals already: to add proposals to them would add most objects twice."""

from __future__ import annotations

from pathlib import Path

from vclr.catalog.data_sets import PUBLISHED_TOP_K, find_split_file
from vclr.coco.checks import Json, is_proposal
from vclr.coco.record import read_split_record
from vclr.config import DataSetConfig
from vclr.errors import UsageError


def refuse_second_proposals(setting: str, annotations: str | Path) -> None:
    """Refuse proposals for annotations that are known to hold some: by their name, or by the record beside them.

    Args:
        setting: what names the proposals, for the error.
        annotations: the json that they are to join.

    Raises:
        UsageError: they are; says what to leave out.
        UserError: the record is damaged.
    """
    path = Path(annotations)
    found = find_split_file(path)
    top_k = (found.top_k if found else 0) or PUBLISHED_TOP_K.get(path.name, 0)
    if top_k:
        raise second_proposals(setting, annotations, f"the best {top_k} of each image")
    if record := read_split_record(path):
        published = record.annotations if record.annotations.file in PUBLISHED_TOP_K else None
        if source := record.proposals or published:
            raise second_proposals(setting, annotations, f"those of {source.file}")


def refuse_no_proposals(setting: str, data_set: DataSetConfig) -> None:
    """Refuse a training set without proposals, as far as the names of its files tell.

    Args:
        setting: what needs proposals, for the error.
        data_set: the training set.

    Raises:
        UsageError: there are none; says what to set.
    """
    found = find_split_file(data_set.annotations)
    if found and not found.top_k and Path(data_set.annotations).name not in PUBLISHED_TOP_K and not data_set.proposals:
        raise no_proposals(setting, data_set)


def no_proposals(setting: str, data_set: DataSetConfig) -> UsageError:
    """Return the error of a training set without proposals for a setting that needs some."""
    named = f"data.train.proposals={data_set.proposals}: no proposal is chosen"
    asked = named if data_set.proposals else "set data.train.proposals, or name annotations with proposals"
    return UsageError(f"{setting}: {data_set.annotations} holds no object proposal (with a `score`); {asked}")


def refuse_scored(setting: str, annotations: str | Path, number: int, annotation: Json) -> None:
    """Refuse proposals for annotations of which one has a score, as proposals have.

    Raises:
        UsageError: it has one; says what to leave out.
    """
    if is_proposal(annotation):
        entry = f"annotations[{number}] (id {annotation.get('id')}) has a `score`"
        raise second_proposals(setting, annotations, entry, "; if its annotations are none, remove their `score`")


def second_proposals(setting: str, annotations: str | Path, why: str, fix: str = "") -> UsageError:
    """Return the error of proposals that would be added twice."""
    return UsageError(
        f"{setting}: {annotations} holds object proposals already ({why}); leave {setting.partition('=')[0]} out, or "
        f"name annotations without proposals{fix}"
    )
