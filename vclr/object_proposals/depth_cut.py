"""Object proposals by MaskCut with depth beside the features: what looks alike but is not at one distance is cut.

Others report that depth in the cut finds more objects than features alone (CutS3D: Sick et al., 2025). Here depth is a
factor of the similarity (see `vclr.object_proposals.affinity`), read from a view that `vclr views --view depth` made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vclr.errors import UsageError, UserError
from vclr.image_folders.open import MANIFEST, fingerprint, open_folder
from vclr.json_text import parse_json
from vclr.object_proposals.maskcut import MaskCut, open_with_keys
from vclr.object_proposals.options import MethodOptions
from vclr.views.files import find_suffix, view_name

OF_MODEL = ("view", "model", "revision", "sha256", "license", "depth_kind")  # keys of a manifest


class DepthFolder:
    """The depth of photos from a folder of views, whose brightness is depth or nearness.

    Attributes:
        folder: the folder.
        sha256: of its manifest, or of all its files if it has none.
    """

    def __init__(self, path: Path) -> None:
        """Open the folder, or its zip.

        Raises:
            UserError: it does not exist, or has no pictures.
        """
        self.folder = open_folder(path)
        self.sha256 = fingerprint(path) or self._hash_files()

    def describe(self) -> dict[str, Any]:
        """Return what a file of proposals says of the depth: its hash, and the model that rendered it, if any."""
        own: dict[str, Any] = {"sha256": self.sha256}
        made = parse_json(self.folder.read(MANIFEST), self.folder.path_of(MANIFEST)) if MANIFEST in self.folder else {}
        if not isinstance(made, dict) or "model" not in made:
            return own
        return {**own, "info": {key: value for key, value in made.items() if key in OF_MODEL}}

    def __call__(self, images: Sequence[np.ndarray], names: Sequence[str], grid: tuple[int, int]) -> torch.Tensor:
        """Return the (b, n) depth of photos on a grid, from 0 to 1 over each photo.

        Raises:
            UserError: a photo has no depth, or its file is damaged or is not of the photo's size; names it.
        """
        sizes = [(image.shape[1], image.shape[0]) for image in images]
        every = [self._read(name, size, grid).ravel() for name, size in zip(names, sizes, strict=True)]
        return torch.from_numpy(np.stack(every))

    def _hash_files(self) -> str:
        digest = hashlib.sha256()
        for name in self.folder.image_names():
            digest.update(f"{name} {hashlib.sha256(self.folder.read(name)).hexdigest()}\n".encode())
        return digest.hexdigest()

    def _read(self, name: str, size: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
        suffix = find_suffix(self.folder, name)
        if suffix is None:
            raise UserError(f"{self.folder.path}: has no depth of {name}; make it with `vclr views --view depth`")
        picture = self.folder.open(view_name(name, suffix)).convert("L")
        if picture.size != size:
            own, photo = ("x".join(map(str, one)) for one in (picture.size, size))
            raise UserError(f"{self.folder.path_of(view_name(name, suffix))}: is {own}, but the photo is {photo}")
        depth = np.asarray(picture.resize(grid[::-1], Image.Resampling.BOX), np.float32)
        return (depth - depth.min()) / max(float(np.ptp(depth)), 1.0)  # type: ignore[no-any-return]


def open_proposer(options: MethodOptions) -> MaskCut:
    """Open the depth cut with a model of the hub or a folder, and the depth view of the photos.

    Raises:
        UsageError: no depth is given.
    """
    if options.depth is None:
        raise UsageError("--method depth_cut: needs --depth FOLDER, a depth view of the photos")
    depth = DepthFolder(options.depth)
    return open_with_keys("depth_cut", options, depth, {"depth": depth.describe()})
