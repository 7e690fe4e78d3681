"""The key `training_proposals`: whose object proposals the trainings of the workflow get. Imports no torch."""

from __future__ import annotations

from vclr.catalog.data_sets import DATA_SETS
from vclr.catalog.proposal_methods import SET_METHODS
from vclr.config import Config
from vclr.data.data_sets import known_training_set
from vclr.errors import UsageError, nearest

PUBLISHED = "published"


def check_training_proposals(method: str) -> None:
    """Check the value of the key.

    Raises:
        UsageError: it is not a method; names the nearest.
    """
    known = [PUBLISHED, *SET_METHODS]
    if method and method not in known:
        raise UsageError(f"training_proposals={method}: no such proposals; nearest: {nearest(method, known)}")


def proposals_overrides(config: Config, method: str) -> list[str]:
    """Return the settings that give an experiment these proposals; none for an experiment that has no choice.

    Args:
        config: the experiment.
        method: `published`, a method of `vclr proposals`, or "" for the experiment's own choice.
    """
    if not method:
        return []
    if known := DATA_SETS.get(known_training_set(config)):
        published = known.name.removesuffix(f"_{known.method}") if known.method else known.name
        chosen = published if method == PUBLISHED else f"{published}_{method}"
        return [f"dataloader.train.dataset.names={chosen}"] if chosen in DATA_SETS and chosen != known.name else []
    # Elsewhere the method is no part of the experiment, and naming it would make its training another one.
    has_choice = "{method}" in config.data.train.proposals
    return [f"proposals.method={method}"] if has_choice and method != PUBLISHED else []
