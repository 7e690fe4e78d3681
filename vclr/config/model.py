"""Settings of the root `model`: the detector, its matching and its losses."""

from __future__ import annotations

from dataclasses import dataclass

from vclr.catalog.backbones import BACKBONES
from vclr.catalog.losses import DENOISING_MASK_LOSSES, denoising_losses
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
    revision: str = setting(
        "", "For a `source` on the hub: its branch, tag or commit; empty is the main branch.", before=""
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
    loss_class_dn: float = setting(
        0.0, "Weight of the classification loss of denoising queries (`model.dn_number`).", at_least=0, before=0.0
    )
    loss_bbox_dn: float = setting(0.0, "Weight of the L1 loss of their boxes.", at_least=0, before=0.0)
    loss_giou_dn: float = setting(0.0, "Weight of the GIoU loss of their boxes.", at_least=0, before=0.0)
    loss_mask_dn: float = setting(0.0, "Weight of the cross-entropy loss of their masks.", at_least=0, before=0.0)
    loss_dice_dn: float = setting(0.0, "Weight of the dice loss of their masks.", at_least=0, before=0.0)


@dataclass
class TwoLossesConfig:
    enabled: bool = setting(
        False,
        "Match annotations and object proposals apart, with detection losses of their own; those of the proposals are "
        "named `..._proposals`.",
        before=False,
    )
    annotations: float = setting(
        1.0,
        "With two losses: factor of the annotations' detection losses (lambda_gt of the paper); 0 computes none.",
        at_least=0,
        before=1.0,
    )
    proposals: float = setting(
        1.0,
        "With two losses: factor of the proposals' detection losses (lambda_match of the paper); 0 computes none.",
        at_least=0,
        before=1.0,
    )


@dataclass
class ConsistencyConfig:
    kind: str = setting(
        "cosine",
        "How an object's features of student and teacher are compared: `cosine`, minus their cosine; `l2`, the mean "
        "square of their difference; `contrastive`, InfoNCE, whose negatives are the teacher's features of the batch's "
        "other objects.",
        choices=("cosine", "l2", "contrastive"),
        before="cosine",
    )
    temperature: float = setting(
        0.1, "Temperature of `kind: contrastive`, which divides the cosines.", at_least=1e-6, before=0.1
    )
    layers: str = setting(
        "last",
        "Which decoder layers' queries are compared: the last one's, or those of `all`, layer by layer, on average.",
        choices=("last", "all"),
        before="last",
    )
    features: str = setting(
        "queries",
        "What is compared: the matched `queries`, or the encoder `memory` at the object: its mean over the cells of "
        "the finest level inside the mask.",
        choices=("queries", "memory"),
        before="queries",
    )
    objects: str = setting(
        "all",
        "Whose features are compared: those of `all` objects, of the `annotations` or of the `proposals`.",
        choices=("all", "annotations", "proposals"),
        before="all",
    )


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
    two_losses: TwoLossesConfig = section(TwoLossesConfig)
    consistency: ConsistencyConfig = section(ConsistencyConfig)

    def tells_apart(self) -> str:
        """Return the setting that treats annotations and object proposals differently; empty if none does."""
        if self.two_losses.enabled:
            return "model.criterion.two_losses.enabled=True"
        objects = self.consistency.objects
        return f"model.criterion.consistency.objects={objects}" if objects != "all" else ""


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
    dn_number: int = setting(
        0,
        "Contrastive denoising (DINO-DETR): about how many noisy copies of objects the decoder gets per image, and as "
        "many copies that are too far off. Needs a weight `*_dn` above 0.",
        at_least=0,
        before=0,
    )
    label_noise_ratio: float = setting(
        0.5,
        "Denoising: twice the share of labels replaced by random ones. With one class that changes no label.",
        at_least=0,
        at_most=1,
        before=0.5,
    )
    box_noise_scale: float = setting(
        1.0,
        "Denoising: how far a corner moves at most, in halves of the box's sides; those too far off move up to twice "
        "as far.",
        at_least=0,
        before=1.0,
    )

    @property
    def denoises(self) -> bool:
        """Whether a training adds denoising queries: some are asked for, and one of their losses has a weight."""
        return self.dn_number > 0 and bool(denoising_losses(vars(self.criterion.weight_dict)))

    @property
    def denoises_masks(self) -> bool:
        """Whether the masks of denoising queries enter a loss."""
        return self.denoises and any(getattr(self.criterion.weight_dict, name) > 0 for name in DENOISING_MASK_LOSSES)
