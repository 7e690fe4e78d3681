"""The detector: backbone, neck, encoder, two-stage proposals, decoder, heads and mask branch."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vclr.config import ModelConfig
from vclr.groups import slices
from vclr.models.attention import MLP, DeformableAttention
from vclr.models.backbone import build_backbone
from vclr.models.decoder import Decoder
from vclr.models.denoising import denoising_queries, seen_queries
from vclr.models.encoder import Encoder
from vclr.models.levels import Levels, flatten_levels, flatten_padded_levels, join_levels
from vclr.models.masks import MaskBranch
from vclr.models.neck import Neck
from vclr.models.two_stage import ProposalStage, TopkProposals
from vclr.structures import MaskFeatures, NoisyObjects, Outputs, Size, padded_size

Part = tuple[Tensor, list[Size]]  # normalized images (n, 3, h, w), and the size of each without padding


class Detector(nn.Module):
    """A class-agnostic two-stage deformable DETR that also predicts masks.

    Attributes:
        pads_like_reference: in training mode, let padding leak into the features, and let queries stand on it, as in
            the reference (`compat.padding`); mask features then cover the padded image.
        padding_group: how many consecutive images are padded together then; 0: all of this process.
        images_at_once: in training mode, how many images go through backbone and encoder at once, and again for the
            gradient: the results of all together in less memory. 0: all, once.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    pads_like_reference = False
    padding_group = 0
    images_at_once = 0

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        encoder, decoder = config.transformer.encoder, config.transformer.decoder
        dim, num_levels = config.embed_dim, config.transformer.num_feature_levels
        self.config = config
        self.backbone = build_backbone(config.backbone, config.norm_groups)
        out_channels: list[int] = self.backbone.out_channels  # type: ignore[assignment]  # see vclr.models.backbone
        self.neck = Neck(out_channels, dim, num_levels, config.norm_groups)
        self.encoder = Encoder(encoder, dim, num_levels)
        self.proposal_stage = ProposalStage(dim)
        self.query_content = nn.Embedding(config.num_queries, dim)
        self.decoder = Decoder(decoder, dim, num_levels)
        self.mask_branch = MaskBranch(dim, num_levels, config.mask_hidden_dim)
        # One copy of each head per decoder layer, and the last one for the two-stage proposals.
        num_heads = decoder.num_layers + 1
        self.class_embed = _copies(nn.Linear(dim, config.num_classes), num_heads)
        self.bbox_embed = _copies(MLP(dim, dim, 4, 3), num_heads)
        self.mask_embed = _copies(MLP(dim, dim, self.mask_branch.channels, 3), num_heads)
        self.register_buffer("pixel_mean", torch.tensor(config.pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(config.pixel_std).view(3, 1, 1), persistent=False)
        self.reset_parameters()
        # Drawn last: the other weights are the same without it. For denoising, in training only.
        self.label_embed = nn.Embedding(config.num_classes, dim) if config.denoises else None

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

    def normalize(self, images: Tensor, image_sizes: list[Size]) -> Tensor:
        """Normalize images (b, 3, h, w) of 0-255 by mean and deviation; padding becomes 0."""
        normalized = (images - self.pixel_mean) / self.pixel_std
        for image, (height, width) in zip(normalized, image_sizes, strict=True):
            image[:, height:] = 0.0
            image[:, :, width:] = 0.0
        return normalized

    def forward(
        self,
        images: Tensor,
        image_sizes: list[Size] | None,
        with_masks: bool = True,
        noisy: NoisyObjects | None = None,
    ) -> Outputs:
        """Detect objects. Each image of a batch gets what it would get alone, dropout and drop path aside.

        Args:
            images: (b, 3, h, w) normalized.
            image_sizes: (height, width) of each image; the rest, bottom and right, is padding and is not read. None:
                nothing is padded, and the mask features are one tensor (b, e, h, w). An exported model does not know
                the number of images.
            with_masks: False leaves the mask branch out (the teacher needs none).
            noisy: objects that the decoder gets beside its queries, which do not see them (`model.dn_number`).
        """
        with self._query_precision(images.device):
            memory = self._encode(images, image_sizes)  # one entry per part of the batch, see `split_batch`
        mask_features = self._map_masks(memory, image_sizes is None) if with_masks else None
        with self._query_precision(images.device):
            heads = self.class_embed[-1], self.bbox_embed[-1]
            proposals = self.proposal_stage(memory, *heads, self.config.num_queries)
            states, boxes = self._decode(memory, proposals, noisy)
            if noisy is None:
                outputs = self._predict(states, boxes, proposals, mask_features)
            else:
                sizes = [self.config.num_queries, noisy.labels[0].numel()]
                own_states, noisy_states = zip(*(state.split(sizes, 1) for state in states), strict=True)
                own_boxes, noisy_boxes = zip(*(layer.split(sizes, 1) for layer in boxes), strict=True)
                outputs = self._predict(own_states, own_boxes, proposals, mask_features)
                outputs.denoising = self._predict_denoised(noisy_states, noisy_boxes, noisy)
        if self.training and self.config.criterion.consistency.features == "memory":
            outputs.memory = [image for part in memory for image in part.split()[0]]
        return outputs

    def _query_precision(self, device: torch.device) -> AbstractContextManager[object]:
        """Compute everything but the masks in float32 in evaluation.

        The rank of a proposal decides which content its query gets. A rounding error of bfloat16 in the backbone would
        change the order of near ties and with it the detections. In training, mixed precision reaches everything.
        """
        if self.training or not torch.is_autocast_enabled(device.type):
            return nullcontext()
        return torch.autocast(device.type, enabled=False)

    def _map_masks(self, memory: list[Levels], is_whole: bool) -> MaskFeatures:
        maps = [part.split() for part in memory]
        return self.mask_branch.map_group(*maps) if is_whole else self.mask_branch(maps)  # type: ignore[no-any-return]

    def _encode(self, images: Tensor, image_sizes: list[Size] | None) -> list[Levels]:
        """Return the memory of each part of the batch: backbone, neck and encoder."""
        if image_sizes is None:
            return self._encode_parts([(images, [(images.shape[2], images.shape[3])])])
        at_once = self.images_at_once if self.training else 0
        padded_together = (self.padding_group or len(images)) if self._lets_padding_leak() else 0
        parts = split_batch(images, image_sizes, padded_together, at_once)
        if at_once:
            encoded = [checkpoint(self._encode_parts, [part], use_reentrant=False) for part in parts]
        elif padded_together:
            encoded = [self._encode_parts([part]) for part in parts]
        else:
            encoded = [self._encode_parts(parts)]
        return [memory for memories in encoded for memory in memories]

    def _encode_parts(self, parts: list[Part]) -> list[Levels]:
        levels = []
        features = self.backbone([images for images, _ in parts])
        for (images, image_sizes), maps in zip(parts, map(self.neck, features), strict=True):
            if self._lets_padding_leak():
                levels.append(flatten_padded_levels(maps, image_sizes, (images.shape[2], images.shape[3])))
            else:
                levels.append(flatten_levels(maps, len(image_sizes)))
        return self.encoder(levels)  # type: ignore[no-any-return]

    def _decode(
        self, memory: list[Levels], proposals: TopkProposals, noisy: NoisyObjects | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the queries and boxes of each decoder layer, those of noisy objects last."""
        runs = [memory]
        if self._lets_padding_leak():  # joined, images would read the padding of a larger group
            runs = [list(run) for _, run in groupby(memory, lambda part: part.spatial_shapes)]
        references: Sequence[Tensor] = [proposals.boxes.detach()]
        if len(runs) > 1:
            references = references[0].split([sum(len(part.features) for part in run) for run in runs])
        content, seen = self.query_content.weight, None
        inputs = [(content.expand(boxes.shape[0], -1, -1), boxes) for boxes in references]
        if noisy is not None:
            assert self.label_embed is not None  # callers ask `model.denoises`
            seen = seen_queries(self.config.num_queries, noisy)
            sizes = [len(boxes) for boxes in references]
            added = zip(*(one.split(sizes) for one in denoising_queries(noisy, self.label_embed)), strict=True)
            inputs = [
                (torch.cat([own, content], 1), torch.cat([boxes, noisy_boxes], 1))
                for (own, boxes), (content, noisy_boxes) in zip(inputs, added, strict=True)
            ]
        decoded = [
            self.decoder(queries, boxes, join_levels(run), self.bbox_embed, seen)
            for run, (queries, boxes) in zip(runs, inputs, strict=True)
        ]
        if len(decoded) == 1:
            return decoded[0]  # type: ignore[no-any-return]
        states, boxes = (
            [torch.cat(layer) for layer in zip(*layers, strict=True)] for layers in zip(*decoded, strict=True)
        )
        return states, boxes

    def _lets_padding_leak(self) -> bool:
        return self.training and self.pads_like_reference

    def _predict(
        self,
        states: Sequence[Tensor],
        boxes: Sequence[Tensor],
        proposals: TopkProposals,
        mask_features: MaskFeatures | None,
    ) -> Outputs:
        """Apply the heads to the layers whose outputs are used: all in training, the last one in evaluation."""

        def predict(layer: int, state: Tensor, logits: Tensor, boxes: Tensor) -> Outputs:
            mask_embeds = self.mask_embed[layer](state) if mask_features is not None else None
            return Outputs(logits, boxes, state, mask_embeds, mask_features)

        *aux_outputs, last = [
            predict(layer, states[layer], self.class_embed[layer](states[layer]), boxes[layer])
            for layer in self._used_layers()
        ]
        of_proposals = predict(-1, proposals.memory, proposals.logits, proposals.boxes) if self.training else None
        return replace(last, aux_outputs=tuple(aux_outputs), enc_outputs=of_proposals)

    def _predict_denoised(self, states: Sequence[Tensor], boxes: Sequence[Tensor], noisy: NoisyObjects) -> Outputs:
        """Apply the heads to the denoising queries of the layers whose outputs are used."""
        _, num_groups, _, num_places = noisy.labels.shape
        layers = []
        for layer in self._used_layers():
            state, of_layer = (part[layer].unflatten(1, (num_groups, 2 * num_places)) for part in (states, boxes))
            mask_embeds = self.mask_embed[layer](state) if self.config.denoises_masks else None
            layers.append(Outputs(self.class_embed[layer](state), of_layer, state, mask_embeds))
        *aux_outputs, last = layers
        return replace(last, aux_outputs=tuple(aux_outputs))

    def _used_layers(self) -> range:
        """Return the decoder layers whose outputs are used: all in training, the last one in evaluation."""
        num_layers = len(self.decoder.layers)
        return range(0 if self.training and self.config.aux_loss else num_layers - 1, num_layers)


def split_batch(images: Tensor, image_sizes: list[Size], padded_together: int, images_at_once: int) -> list[Part]:
    """Split a batch (b, 3, h, w) into the parts that go through the backbone together.

    Images of different sizes go one by one, cut out of their padding, unless padding is to leak as in the reference:
    then so many consecutive images are padded together.
    """
    batch_size = images.shape[2], images.shape[3]
    if not padded_together and any(size != batch_size for size in image_sizes):
        padded_together = 1
    parts = []
    for group, sizes in _in_runs(images, image_sizes, padded_together or len(images)):
        height, width = padded_size(sizes)
        parts += _in_runs(group[:, :, :height, :width], sizes, images_at_once or len(group))
    return parts


def _in_runs(images: Tensor, image_sizes: list[Size], length: int) -> list[Part]:
    return [(images[run], image_sizes[run]) for run in slices(len(images), length)]


def _copies(module: nn.Module, count: int) -> nn.ModuleList:
    """Return `count` separate modules that start identical."""
    return nn.ModuleList(copy.deepcopy(module) for _ in range(count))
