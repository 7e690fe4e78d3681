"""Denoising queries: noisy objects beside the detector's own queries, in training only (DINO, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vclr.ops.boxes import inverse_sigmoid
from vclr.structures import NoisyObjects


def denoising_queries(noisy: NoisyObjects, label_embed: nn.Embedding) -> tuple[Tensor, Tensor]:
    """Return content (b, k, d) and reference points (b, k, 4) of the places of all groups.

    Empty places have the content 0.
    """
    labels = noisy.labels.flatten(1)
    # The embedding is always used: processes share gradients, and the images of some may have no objects.
    content = label_embed(labels.clamp(min=0)) * (labels >= 0)[..., None]
    return content, inverse_sigmoid(noisy.boxes.flatten(1, 3)).sigmoid()


def seen_queries(num_queries: int, noisy: NoisyObjects) -> Tensor | None:
    """Return (k, q + k) True where a denoising query sees another query: the detector's own and those of its group.

    None if no place is there: the images of all processes have no objects.
    """
    _, num_groups, _, num_places = noisy.labels.shape
    if not num_places:
        return None
    groups = torch.arange(num_groups, device=noisy.labels.device).repeat_interleave(2 * num_places)
    own = groups[:, None] == groups
    return torch.cat([own.new_ones(len(groups), num_queries), own], 1)
