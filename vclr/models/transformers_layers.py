"""Which layer of a model of transformers a parameter belongs to, by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

EMBEDDINGS = re.compile(r"(^|\.)embeddings\.|^model\.stages\.0\.downsample_layers\.")
BLOCK_OF_STAGE = re.compile(r"\b(?:stages|layers)\.(\d+)\.(?:blocks|layers)\.(\d+)\.")
BETWEEN_STAGES = re.compile(r"\b(?P<kind>stages|layers)\.(?P<stage>\d+)\.downsampl")
BLOCK = re.compile(r"\blayers?\.(\d+)\.")
# What the maps do not depend on: tokens of the pretraining, and a norm whose output only a classifier reads.
UNUSED = re.compile(r"mask_token$|^swin\.layernorm\.")


class Layers:
    """The order of a model's layers: the embeddings are layer 0, blocks count from 1, and what follows comes last."""

    def __init__(self, depths: Sequence[int]) -> None:
        """Take the number of blocks of each stage; a plain transformer is one stage."""
        self.depths = list(depths)
        self.is_plain = len(self.depths) == 1
        self.num_layers = sum(self.depths)
        # Parts that freeze one after another.
        self.num_parts = 1 + (self.num_layers if self.is_plain else len(self.depths))

    def layer(self, name: str) -> int:
        """Return the layer of a parameter, from 0 to `num_layers`.

        The downsampling between two stages belongs to the block beside it in its stage's module. Norms after the last
        block or of the maps belong to the last layer.
        """
        if EMBEDDINGS.search(name):
            return 0
        if self.is_plain:
            found = BLOCK.search(name)
            return int(found[1]) + 1 if found else self.num_layers
        if found := BLOCK_OF_STAGE.search(name):
            return sum(self.depths[: int(found[1])]) + int(found[2]) + 1
        if found := BETWEEN_STAGES.search(name):
            stage = int(found["stage"])
            # Swin's follows the blocks of its stage, ConvNeXt's precedes them.
            return sum(self.depths[: stage + 1]) if found["kind"] == "layers" else sum(self.depths[:stage]) + 1
        return self.num_layers

    def part(self, name: str) -> int:
        """Return the number of the part that `freeze_at` counts; parameters after all parts always train."""
        if EMBEDDINGS.search(name):
            return 0
        found = BLOCK.search(name) if self.is_plain else BLOCK_OF_STAGE.search(name)
        if not found and not self.is_plain and (between := BETWEEN_STAGES.search(name)):
            return int(between["stage"]) + 1
        return int(found[1]) + 1 if found else self.num_parts


def decays(name: str, parameter: Tensor) -> bool:
    """Tell whether a weight decays as Swin, ConvNeXt and BEiT train: not norms, biases, scales, tokens, positions."""
    is_vector = parameter.numel() == max(parameter.shape, default=1)
    return not is_vector and "position" not in name and "_token" not in name
