"""The weights of learned producers: whether they are there, and how a command names them. Imports no torch.

The weights of a producer NAME are in `data/weights/NAME/`, where `vclr fetch` or a person puts them, or in the cache of
the Hugging Face hub.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path

from vclr.catalog.depth_models import DEPTH_MODELS
from vclr.catalog.proposal_methods import PROPOSAL_METHODS

PARTIAL = (".partial", ".partial.json")  # how the names of `vclr.fetch.partial` end


def weights_name(model: str) -> str:
    """Return the name of a model's folder below `data/weights/`: its name on the hub without its owner's."""
    return model.rpartition("/")[2]


# The models of the hub that producers of views and methods of proposals run, by the names of their folders.
HUB_MODELS = DEPTH_MODELS | {weights_name(one.model): one.model for one in PROPOSAL_METHODS.values() if one.model}


class Weights:
    """The weights below a data folder."""

    def __init__(
        self, root: Path, fetched: Collection[str], hub: Mapping[str, str] = HUB_MODELS, has_extra: bool | None = None
    ) -> None:
        """Describe where weights are.

        Args:
            root: the data folder.
            fetched: the names of the producers whose weights `vclr fetch` can get.
            hub: the model on the hub of each producer that runs with transformers.
            has_extra: whether the extra `vclr[models]` is installed (default: find out).
        """
        self._root, self._fetched, self._hub = root, fetched, hub
        self._has_extra = has_models() if has_extra is None else has_extra

    def folder(self, producer: str) -> Path:
        """Return the folder of the weights of a producer."""
        return self._root / "weights" / producer

    def are_there(self, producer: str) -> bool:
        """Tell whether a producer can run without a download."""
        if producer in self._hub and not self._has_extra:
            return False
        return self._has_folder(producer) or self._is_cached(producer)

    def option(self, producer: str) -> str:
        """Return the option that names the weights: their folder if it has them or will, else the model of the hub."""
        name = self.folder(producer) if self._uses_folder(producer) else self._hub[producer]
        option = "--model" if producer in self._hub else "--weights"
        return f"{option} {shlex.quote(str(name))}"

    def describe(self, producer: str) -> str:
        """Say where the weights come from."""
        if self._uses_folder(producer):
            return f"weights in {self.folder(producer)}"
        return f"weights of {self._hub[producer]} on the Hugging Face hub"

    def inputs(self, producer: str) -> list[str]:
        """List the file that stands for the weights; none if they are the hub's."""
        if not self._uses_folder(producer):
            return []
        if self._has_folder(producer) and not self._marker(producer).is_file():  # put in place by a person
            return [self.folder(producer).as_posix()]
        return [self._marker(producer).as_posix()]

    def _marker(self, producer: str) -> Path:
        return self.folder(producer) / "FETCHED"

    def _uses_folder(self, producer: str) -> bool:
        if self._has_folder(producer):
            return True
        return producer in self._fetched and not self._is_cached(producer)

    def _has_folder(self, producer: str) -> bool:
        """Tell whether the folder has files, and none whose download was interrupted."""
        folder = self.folder(producer)
        names = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
        return bool(names) and not any(name.endswith(PARTIAL) for name in names)

    def _is_cached(self, producer: str) -> bool:
        """Tell whether the hub's cache has a model, by the layout that huggingface_hub documents."""
        model = self._hub.get(producer, "")
        snapshots = hub_cache() / f"models--{model.replace('/', '--')}" / "snapshots"
        return bool(model) and any(snapshots.glob("*/config.json"))


def hub_cache() -> Path:
    """Return the folder in which huggingface_hub keeps what it downloaded."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def has_models() -> bool:
    """Tell whether the extra `vclr[models]` is installed."""
    return find_spec("transformers") is not None
