"""Settings of the root `model`: the detector, its matching and its losses."""

from __future__ import annotations

from dataclasses import dataclass

from vclr.catalog.backbones import BACKBONES
from vclr.config.setting import section, setting


@dataclass
class BackboneConfig:
    name: str = setting("resnet", "Family of the backbone.", choices=tuple(BACKBONES), before="resnet")
    depth: int = setting(50, "Layers of the ResNet; 50 and 101 are bottlenecks.", choices=(10, 18, 34, 50, 101))
    norm: str = setting(
        "FrozenBN",
        "Normalization: fixed statistics (for pretrained weights) or trainable (from scratch).",
        choices=("FrozenBN", "GN"),
    )
    stem_out_channels: int = setting(64, "Channels of the first convolution.", at_least=1)
    stem_pool: bool = setting(True, "Max pooling after the stem. Without it, every level is twice as fine.")
    res2_out_channels: int = setting(256, "Channels of the first stage; each later stage doubles them.", at_least=1)
    freeze_at: int = setting(
        1,
        "Number of parts that do not train, from the stem on: the stem and four stages; of a plain ViT, the embeddings "
        "and each block.",
        at_least=0,
    )
    source: str = setting(
        "",
        "For `transformers`: folder with a model's config.json and weights, or the model's name on the Hugging Face "
        "hub. Without weights in the folder, training starts from random ones.",
        before="",
    )
    drop_path: float = setting(
        0.0,
        "For `transformers`: probability of leaving out a residual branch (stochastic depth). It rises from 0 in the "
        "first block to this in the last; in DINOv2 and DINOv3 (ViT), all blocks have the same. A plain ViT has none.",
        at_least=0,
        at_most=0.9,
        before=0.0,
    )
    architecture: str = setting(
        "",
        "Cannot be set: checkpoints hold it, so that they need no `source`. It describes the model of `transformers` "
        "without its weights.",
        changes="nothing",
        before="",
    )


@dataclass
class EncoderConfig:
    num_heads: int = setting(8, "Number of attention heads.", at_least=1)
    num_points: int = setting(4, "Number of sampling points per head, level and query.", at_least=1)
    feedforward_dim: int = setting(2048, "Hidden width of the feed-forward blocks.", at_least=1)
    num_layers: int = setting(6, "Number of layers.", at_least=1)
    attn_dropout: float = setting(0.0, "Dropout after attention.", at_least=0, at_most=1)
    ffn_dropout: float = setting(0.0, "Dropout in the feed-forward blocks.", at_least=0, at_most=1)
    use_checkpoint: bool = setting(False, "Recompute activations in the backward pass: less memory, more time.")


@dataclass
class DecoderConfig(EncoderConfig):
    pass


@dataclass
class TransformerConfig:
    encoder: EncoderConfig = section(EncoderConfig)
    decoder: DecoderConfig = section(DecoderConfig)
    num_feature_levels: int = setting(4, "Levels that attention reads: the backbone's, then coarser ones.", at_least=1)


@dataclass
class MatcherConfig:
    cost_class: float = setting(2.0, "Weight of the classification cost in the matching.", at_least=0)
    cost_bbox: float = setting(5.0, "Weight of the L1 cost of boxes.", at_least=0)
    cost_giou: float = setting(2.0, "Weight of the GIoU cost of boxes.", at_least=0)
    alpha: float = setting(0.25, "Focal cost: weight of positives.", at_least=0, at_most=1)
    gamma: float = setting(2.0, "Focal cost: exponent.", at_least=0)


@dataclass
class WeightDict:
    loss_class: float = setting(1.0, "Weight of the classification loss.", at_least=0)
    loss_bbox: float = setting(5.0, "Weight of the L1 loss of boxes.", at_least=0)
    loss_giou: float = setting(2.0, "Weight of the GIoU loss of boxes.", at_least=0)
    loss_mask: float = setting(1.0, "Weight of the cross-entropy loss of masks.", at_least=0)
    loss_dice: float = setting(5.0, "Weight of the dice loss of masks.", at_least=0)
    loss_consistency: float = setting(1.0, "Weight of the consistency loss; 0 for no teacher in the step.", at_least=0)


@dataclass
class CriterionConfig:
    matcher: MatcherConfig = section(MatcherConfig)
    weight_dict: WeightDict = section(WeightDict)
    alpha: float = setting(0.25, "Focal loss: weight of positives.", at_least=0, at_most=1)
    gamma: float = setting(2.0, "Focal loss: exponent.", at_least=0)
    num_points: int = setting(12544, "Number of points of a mask on which its loss is computed.", at_least=1)
    oversample_ratio: float = setting(3.0, "Number of random candidates per point.", at_least=1)
    importance_sample_ratio: float = setting(
        0.75, "Share of points chosen for logits near zero.", at_least=0, at_most=1
    )


@dataclass
class ModelConfig:
    backbone: BackboneConfig = section(BackboneConfig)
    transformer: TransformerConfig = section(TransformerConfig)
    criterion: CriterionConfig = section(CriterionConfig)
    embed_dim: int = setting(256, "Channels of the transformer; a multiple of 4.", at_least=1)
    norm_groups: int = setting(32, "Number of groups in the GroupNorms of neck and backbone.", at_least=1)
    mask_hidden_dim: int = setting(2048, "Channels between the two convolutions of the mask branch.", at_least=1)
    num_classes: int = setting(1, "Number of classes; the detector is class-agnostic.", choices=(1,))
    num_queries: int = setting(2000, "Number of decoder slots.", at_least=1)
    aux_loss: bool = setting(True, "Compute the losses on every decoder layer, not only on the last.")
    pixel_mean: list[float] = setting([123.675, 116.28, 103.53], "RGB mean of the normalization.", length=3)
    pixel_std: list[float] = setting(
        [58.395, 57.12, 57.375], "RGB standard deviation of the normalization.", length=3, at_least=1e-12
    )
    select_box_nums_for_evaluation: int = setting(
        300,
        "Maximum number of detections per image before suppression (the reference hard-codes 300).",
        at_least=1,
        changes="evaluation",
    )
    nms_thresh: float = setting(
        0.7, "IoU above which the worse of two boxes is dropped.", at_least=0, at_most=1, changes="evaluation"
    )
