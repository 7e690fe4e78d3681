"""What a method that proposes objects is given, and what it returns.

The method NAME of `vclr.catalog.proposal_methods.PROPOSAL_METHODS` is the function `open_proposer` of the module
`vclr/object_proposals/NAME.py`:

    open_proposer(options: MethodOptions) -> Proposer
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vclr.catalog.proposal_methods import MAX_PROPOSALS

Proposals = tuple[np.ndarray, np.ndarray]  # masks (n, h, w) bool and scores (n,) float64, best first


@dataclass(frozen=True)
class MethodOptions:
    """The options of `vclr proposals` that a method may use.

    Attributes:
        model: name of a model of the Hugging Face hub, or its folder; "" for the method's default.
        revision: branch, tag or commit of the model on the hub.
        checkpoint: a checkpoint of a detector; None if none is given.
        depth: folder of a depth view of the photos; None if none is given.
        device: as of `choose_device`.
        dtype: as of `choose_dtype`.
        batch_size: number of photos that a model gets at once; 0 for the method's default.
        max_proposals: the most proposals per photo.
        min_score: proposals with a lower score are left out; None for none. A method need not look at it.
    """

    model: str = ""
    revision: str = ""
    checkpoint: Path | None = None
    depth: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 0
    max_proposals: int = MAX_PROPOSALS
    min_score: float | None = None


class Proposer(Protocol):
    """A method that is ready to propose objects.

    Attributes:
        batch_size: the number of photos that `propose` takes at once; a batch may have fewer.
        facts: what the proposals depend on besides the photos, the options and the code: the model with its revision
            or hash, for example. They are written to the json and decide whether unfinished work is continued. The
            fact `license` states terms besides those of the photos; unfinished work does not depend on it.
    """

    batch_size: int
    facts: dict[str, Any]

    def propose(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[Proposals]:
        """Propose objects in some photos.

        Args:
            images: the photos, (h, w, 3) uint8 RGB, of any sizes.
            names: their file names.

        Returns:
            For each photo masks (n, h, w) bool of its size, at most `max_proposals`, and scores (n,) float64, best
            first. Empty masks are left out later.

        Raises:
            UserError: a photo cannot be used.
        """


@dataclass
class OneByOne:
    """A method that is a function of one photo: it returns masks and scores."""

    find: Callable[[np.ndarray], Proposals]
    facts: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 1

    def propose(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[Proposals]:
        """Propose objects in some photos; see `Proposer`."""
        del names
        return [self.find(image) for image in images]
