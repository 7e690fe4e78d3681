"""The detector: backbone, neck, encoder, two-stage proposals, decoder, heads and mask branch."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from vclr.config import ModelConfig
from vclr.models.attention import MLP, DeformableAttention
from vclr.models.backbone import Backbone
from vclr.models.decoder import Decoder
from vclr.models.encoder import Encoder
from vclr.models.levels import flatten_levels
from vclr.models.masks import MaskBranch
from vclr.models.neck import Neck
from vclr.models.proposals import ProposalStage
from vclr.structures import Outputs


class Detector(nn.Module):
    """A class-agnostic two-stage deformable DETR that also predicts masks."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        encoder, decoder = config.transformer.encoder, config.transformer.decoder
        dim, num_levels = config.embed_dim, config.transformer.num_feature_levels
        self.config = config
        self.backbone = Backbone(config.backbone, config.norm_groups)
        self.neck = Neck(self.backbone.out_channels, dim, num_levels, config.norm_groups)
        self.encoder = Encoder(encoder, dim, num_levels)
        self.proposal_stage = ProposalStage(dim)
        self.query_content = nn.Embedding(config.num_queries, dim)
        self.decoder = Decoder(decoder, dim, num_levels)
        self.mask_branch = MaskBranch(dim, num_levels, config.mask_hidden_dim)
        # One copy of each head a decoder layer, and the last for the two-stage proposals.
        num_heads = decoder.num_layers + 1
        self.class_embed = _copies(nn.Linear(dim, config.num_classes), num_heads)
        self.bbox_embed = _copies(MLP(dim, dim, 4, 3), num_heads)
        self.mask_embed = _copies(MLP(dim, dim, self.mask_branch.channels, 3), num_heads)
        self.register_buffer("pixel_mean", torch.tensor(config.pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(config.pixel_std).view(3, 1, 1), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize as the reference does: boxes start at their references, objects are rare."""
        for module in (self.encoder, self.decoder, self.proposal_stage, self.query_content):
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
            for child in module.modules():
                if isinstance(child, DeformableAttention):
                    child.reset_parameters()
        nn.init.normal_(self.encoder.level_embeds)
        for name, parameter in self.class_embed.named_parameters():
            if name.endswith("bias"):
                nn.init.constant_(parameter, -math.log(99))  # probability 0.01
        for name, parameter in self.bbox_embed.named_parameters():
            if ".layers.2." in name:
                nn.init.zeros_(parameter)

    def normalize(self, images: Tensor, padding_mask: Tensor) -> Tensor:
        """Normalize images (b, 3, h, w) of 0-255 by mean and deviation; padding becomes 0."""
        return ((images - self.pixel_mean) / self.pixel_std).masked_fill(padding_mask[:, None], 0.0)

    def forward(self, images: Tensor, padding_mask: Tensor, with_masks: bool = True) -> Outputs:
        """Detect objects.

        Args:
            images: (b, 3, h, w) normalized.
            padding_mask: (b, h, w) True where padded.
            with_masks: False leaves the mask branch out (the teacher needs none).
        """
        levels = flatten_levels(self.neck(self.backbone(images)), padding_mask)
        memory = self.encoder(levels)
        topk_proposals = self.proposal_stage(
            memory, levels, self.class_embed[-1], self.bbox_embed[-1], self.config.num_queries
        )
        reference_points = topk_proposals.boxes.detach()
        queries = self.query_content.weight[: reference_points.shape[1]].expand(len(images), -1, -1)
        states, boxes = self.decoder(queries, reference_points, memory, levels, self.bbox_embed)
        mask_features = self.mask_branch(levels.split(memory)) if with_masks else None
        outputs = [
            self._head(layer, state, self.class_embed[layer](state), layer_boxes, mask_features)
            for layer, (state, layer_boxes) in enumerate(zip(states, boxes, strict=True))
        ]
        result = outputs[-1]
        if self.training and self.config.aux_loss:
            result.aux_outputs = tuple(outputs[:-1])
        if self.training:
            stage = topk_proposals
            result.enc_outputs = self._head(-1, stage.memory, stage.logits, stage.boxes, mask_features)
        return result

    def _head(self, layer: int, state: Tensor, logits: Tensor, boxes: Tensor, mask_features: Tensor | None) -> Outputs:
        has_masks = mask_features is not None
        return Outputs(
            pred_logits=logits,
            pred_boxes=boxes,
            queries=state,
            mask_embeds=self.mask_embed[layer](state) if has_masks else None,
            mask_features=mask_features,
        )


def _copies(module: nn.Module, count: int) -> nn.ModuleList:
    """Return `count` separate modules that start identical."""
    return nn.ModuleList(copy.deepcopy(module) for _ in range(count))
