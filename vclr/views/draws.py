"""Draws of views: how often each is shown of a photo, also if some photos have no file of it (`views.missing`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vclr.catalog.views import NATURAL, PHOTO
from vclr.views.files import ViewFiles


class Draw(NamedTuple):
    """The view that is shown; and the one that was drawn first, if the photo has no file of it."""

    view: str
    missing: str = ""


class ViewDraws:
    """Draws views by name, with relative weights."""

    def __init__(self, weights: Mapping[str, float], files: Mapping[str, ViewFiles], policy: str) -> None:
        """Take the weight of each view, the views that are files, and what happens if a photo has none of these."""
        self.names = list(weights)
        self.probabilities = np.array(list(weights.values())) / sum(weights.values())
        self._files, self._policy = files, policy

    def draw(self, generator: np.random.Generator, index: int) -> Draw:
        """Draw a view of the photo at `index`.

        If its file is missing, either the photo stands in, or one of the photo's other views is drawn. The photo draws
        these as often, relative to each other, as the others do.
        """
        drawn = self._draw(generator, self.probabilities)
        if drawn == NATURAL or not self._is_missing(drawn, index):
            return Draw(drawn)
        if self._policy == PHOTO:
            return Draw(NATURAL, drawn)
        others = self.probabilities * [not self._is_missing(view, index) for view in self.names]
        return Draw(self._draw(generator, others / others.sum()), drawn)

    def _draw(self, generator: np.random.Generator, probabilities: np.ndarray) -> str:
        return self.names[int(generator.choice(len(self.names), p=probabilities))]

    def _is_missing(self, view: str, index: int) -> bool:
        return view in self._files and not self._files[view].has(index)
