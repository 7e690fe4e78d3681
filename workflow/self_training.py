"""The second round of self-training: which files the proposals of an experiment's detector are merged with.

Imports no torch.
"""

from __future__ import annotations

from vclr.catalog.data_sets import DATA_SETS, SPLIT_FILES
from vclr.config import Config
from vclr.data.data_sets import known_training_set
from vclr.errors import UsageError

FIRST_METHOD = "graph"  # of the first round, if its training had no proposals


def known_annotations(config: Config, name: str) -> str:
    """Return the json of the known objects that an experiment was trained on, without object proposals.

    Args:
        config: the experiment of the first round.
        name: the experiment's name.

    Raises:
        UsageError: the training set has no such json.
    """
    trained = DATA_SETS.get(known_training_set(config))
    if trained is None:
        return config.data.train.annotations
    file = f"{trained.source}_{trained.part}_{trained.known}"
    if trained.known and file in SPLIT_FILES:
        return f"{config.data.root}/splits/{file}.json"
    if trained.top_k:
        raise UsageError(f"{name}: {trained.name} has no annotations without object proposals")
    return f"{config.data.root}/{trained.annotations}"


def first_proposals(config: Config, name: str, part: str) -> str:
    """Return the json of the object proposals of the first round.

    Those are the proposals of the training; in a published json of COCO's training set, its entries with a score. If
    the training had none, `graph` makes them.

    Args:
        config: the experiment of the first round.
        name: the set of photos.
        part: `train` or `val`.
    """
    trained = DATA_SETS.get(known_training_set(config))
    root = config.data.root
    if config.data.train.proposals:
        return config.data.train.proposals.replace("{method}", config.proposals.method)
    if trained and trained.method:
        return f"{root}/{trained.proposals}"
    if trained and trained.top_k:
        return f"{root}/{trained.json}"
    return f"{root}/proposals/{name}/{part}_{FIRST_METHOD}.json"
