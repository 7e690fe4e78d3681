"""Object proposals by MaskCut: normalized cuts of self-supervised features (CutLER: Wang et al., 2023, section 3.1).

The steps, each in its file: features of the patches (`patch_keys`), which patches are affine (`affinity`), cuts of the
photos of a batch (`repeated_cut`, `normalized_cut`, `foreground`), and masks along the edges of the photo (`refine`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.device import choose_device, choose_dtype
from vclr.object_proposals.affinity import TAU, find_affine
from vclr.object_proposals.options import MethodOptions, Proposals
from vclr.object_proposals.patch_keys import PatchKeys
from vclr.object_proposals.refine import refine_masks
from vclr.object_proposals.repeated_cut import cut_repeatedly
from vclr.pretrained import load_pretrained

ROUNDS = 10  # cuts per photo; the published number is 3
BATCH_SIZES = {"cpu": 4, "cuda": 16}

Features = Callable[[Sequence[np.ndarray]], torch.Tensor]
Depth = Callable[[Sequence[np.ndarray], Sequence[str], tuple[int, int]], torch.Tensor]


class MaskCut:
    """Proposes the objects that normalized cuts separate; see `vclr.object_proposals.options.Proposer`."""

    def __init__(
        self,
        features: Features,
        grid: tuple[int, int],
        *,
        rounds: int = ROUNDS,
        tau: float = TAU,
        depth: Depth | None = None,
        batch_size: int = 1,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """Prepare the method for any features.

        Args:
            features: returns the (b, n, d) features of (h, w, 3) uint8 photos, the patches in rows.
            grid: (h, w), number of patches down and across.
            rounds: cuts per photo.
            tau: similarity above which patches are affine.
            depth: returns the (b, n) depth in [0, 1] of photos, given them, their names and the grid.
            batch_size: photos per call.
            facts: what the proposals depend on besides.
        """
        self.features, self.grid, self.depth = features, grid, depth
        self.rounds, self.tau, self.batch_size = rounds, tau, batch_size
        self.facts = {**(facts or {}), "rounds": rounds, "tau": tau, "grid": list(grid)}

    @torch.inference_mode()
    def propose(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[Proposals]:
        """Propose the objects of some photos, of which there are at most `rounds` per photo.

        Raises:
            UserError: a photo has no depth of its size.
        """
        depth = self.depth(images, names, self.grid) if self.depth else None
        features = self.features(images)
        affine = find_affine(features, self.tau, None if depth is None else depth.to(features.device))
        cuts = cut_repeatedly(affine, self.grid, self.rounds)
        return [_rank(refine_masks(image, masks), scores) for image, (masks, scores) in zip(images, cuts, strict=True)]


def _rank(masks: np.ndarray, scores: np.ndarray) -> Proposals:
    order = np.argsort(-scores, kind="stable")
    return masks[order], scores[order]


def open_proposer(options: MethodOptions) -> MaskCut:
    """Open MaskCut with a model of the hub or a folder."""
    return open_with_keys("maskcut", options)


def open_with_keys(
    method: str, options: MethodOptions, depth: Depth | None = None, facts: Mapping[str, Any] = MappingProxyType({})
) -> MaskCut:
    """Open a method that cuts the keys of a vision transformer; `facts` are those of the depth.

    Raises:
        UsageError: transformers is not installed, or there is no such device.
        UserError: the model cannot be loaded, or has no keys.
    """
    name = options.model or PROPOSAL_METHODS[method].model
    device = choose_device(options.device, f"--device {options.device}")
    dtype = choose_dtype(options.dtype, device)
    loaded = load_pretrained("features", name, options.revision, device, dtype)
    batch_size = options.batch_size or BATCH_SIZES.get(device.type, 1)
    keys = PatchKeys(loaded.model, loaded.processor, name, batch_size)
    rounds = min(ROUNDS, options.max_proposals)
    return MaskCut(keys, keys.grid, rounds=rounds, depth=depth, batch_size=batch_size, facts={**loaded.facts, **facts})
