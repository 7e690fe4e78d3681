"""The tables of published data sets and results: head and rows of each, from the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vclr.catalog.data_sets import DATA_SETS, PROTOCOLS, PUBLISHED_TOP_SPLITS, SPLITS, DataSet
from vclr.catalog.published import METHOD, PUBLISHED_RESULTS

Table = tuple[tuple[str, ...], Sequence[tuple[str, ...]]]


def splits() -> Table:
    """What each split of `vclr split` keeps."""
    rows = [(f"`{name}`", split.keeps, "yes" if split.is_one_class else "") for name, split in SPLITS.items()]
    top = [f"`{name}`" for name in PUBLISHED_TOP_SPLITS]
    proposals = "known annotations and the best proposals per image (`--proposals`)"
    return ("split", "keeps", "as one class"), [*rows, (", ".join(top), proposals, "yes")]


def training_sets() -> Table:
    """The training sets that differ in whose object proposals they have."""
    published = "CutLER's, as published in the OWIS collection"

    def say_proposals(one: DataSet) -> str:
        if one.method:
            return f"of `vclr proposals --method {one.method}`"
        return published if one.top_k else "none; `data.train.proposals` adds some"

    rows = [
        (f"`{name}`", f"`{one.file}.json`", say_proposals(one))
        for name, one in DATA_SETS.items()
        if one.part == "train" and one.source != "toy"
    ]
    return ("training set", "file below `data/splits/`", "proposals"), rows


def protocols() -> Table:
    """The published protocols with the annotations of each choice of `evaluation.files`."""
    rows = [
        (
            f"`{name}`",
            data_set.title,
            f"`{data_set.name}`",
            f"`{Path(data_set.published[1]).name}`" if data_set.published else "",
            f"`{data_set.as_published().file}.json`" if data_set.published else "",
            f"`{data_set.file}.json`",
        )
        for name, data_set in PROTOCOLS.items()
    ]
    return ("protocol", "title", "test set", "published json", "`published`", "`rebuilt`"), rows


def results() -> Table:
    """The results of the method that its authors report, in percent."""
    reported = [one for one in PUBLISHED_RESULTS if one.method == METHOD]
    metrics = list(reported[0].values)
    rows = [
        (one.known.upper(), PROTOCOLS[one.protocol].title, *(f"{one.values[metric]:.1f}" for metric in metrics))
        for one in reported
    ]
    return ("known classes", "protocol", *(f"`{metric}`" for metric in metrics)), rows
