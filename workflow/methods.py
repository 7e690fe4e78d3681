"""How the workflow calls the methods that propose objects with a model. Imports no torch."""

from __future__ import annotations

from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.catalog.views import DEPTH
from vclr.data.origins import Origins
from workflow.weights import Weights, weights_name


class Methods:
    """The methods of `MODEL_METHODS`."""

    def __init__(self, origins: Origins, weights: Weights) -> None:
        self._origins, self._weights = origins, weights

    def inputs(self, method: str, name: str) -> list[str]:
        """List the files that a method needs besides the photos of a set: weights, and depth."""
        needed = self._weights.inputs(weights_name(PROPOSAL_METHODS[method].model))
        if DEPTH in PROPOSAL_METHODS[method].needs:
            needed.append(self._origins.view_source(self._depth_of(name)))
        return needed

    def options(self, method: str, name: str) -> str:
        """Return the options of `vclr proposals` for a method and a set, as words of a shell command."""
        options = f"--method {method} {self._weights.option(weights_name(PROPOSAL_METHODS[method].model))}"
        return f"{options} --depth {self._depth_of(name)}" if DEPTH in PROPOSAL_METHODS[method].needs else options

    def _depth_of(self, name: str) -> str:
        return f"{self._origins.root}/views/{name}/{DEPTH}"
