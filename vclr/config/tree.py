"""Every setting: one tree of dataclasses whose defaults are the published VOC -> Non-VOC experiment.

Dataclass defaults <- YAML file <- `key=value` overrides. The roots `model dataloader optimizer train` carry the
reference's keys; `data views proposals evaluation launcher tracking compat` are our own. `configs/README.md` lists
every key.

This module imports no torch: Snakemake reads configurations too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# --- model -----------------------------------------------------------------------------------------------------------


@dataclass
class BackboneConfig:
    depth: int = 50  # 10, 18, 34 (basic blocks) or 50, 101 (bottlenecks)
    norm: str = "FrozenBN"  # FrozenBN, or GN (trainable, for training from scratch)
    stem_out_channels: int = 64
    stem_pool: bool = True  # max pooling after the stem; without it every level is twice as fine
    res2_out_channels: int = 256
    freeze_at: int = 1  # stages that do not train: 0 none, 1 stem convolution, 2 with res2


@dataclass
class EncoderConfig:
    num_heads: int = 8
    num_points: int = 4
    feedforward_dim: int = 2048
    num_layers: int = 6
    attn_dropout: float = 0.0
    ffn_dropout: float = 0.0
    use_checkpoint: bool = False  # recompute activations in the backward pass: less memory, more time


@dataclass
class DecoderConfig(EncoderConfig):
    pass


@dataclass
class TransformerConfig:
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    num_feature_levels: int = 4


@dataclass
class MatcherConfig:
    cost_class: float = 2.0
    cost_bbox: float = 5.0
    cost_giou: float = 2.0
    alpha: float = 0.25
    gamma: float = 2.0


@dataclass
class WeightDict:
    loss_class: float = 1.0
    loss_bbox: float = 5.0
    loss_giou: float = 2.0
    loss_mask: float = 1.0
    loss_dice: float = 5.0
    loss_consistency: float = 1.0  # 0: no teacher in the training step


@dataclass
class CriterionConfig:
    matcher: MatcherConfig = field(default_factory=MatcherConfig)
    weight_dict: WeightDict = field(default_factory=WeightDict)
    alpha: float = 0.25
    gamma: float = 2.0
    num_points: int = 12544  # sampled points of a mask on which its loss is computed
    oversample_ratio: float = 3.0
    importance_sample_ratio: float = 0.75


@dataclass
class ModelConfig:
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    embed_dim: int = 256
    norm_groups: int = 32  # groups of the GroupNorms in neck and backbone
    mask_hidden_dim: int = 2048  # channels between the two convolutions of the mask branch
    num_classes: int = 1
    num_queries: int = 2000
    aux_loss: bool = True
    pixel_mean: list[float] = field(default_factory=lambda: [123.675, 116.28, 103.53])
    pixel_std: list[float] = field(default_factory=lambda: [58.395, 57.12, 57.375])
    select_box_nums_for_evaluation: int = 300  # detections an image; the reference hard-codes 300
    nms_thresh: float = 0.7


# --- dataloader ------------------------------------------------------------------------------------------------------


@dataclass
class DatasetNamesConfig:
    names: str = ""  # a set of the catalog; empty where data.*.annotations is given
    filter_empty: bool = True  # leave out images without an object


@dataclass
class TrainMapperConfig:
    short_edge_length: list[int] = field(default_factory=lambda: list(range(480, 801, 32)))
    max_size: int = 1333
    crop_probability: float = 0.5
    crop_short_edge_length: list[int] = field(default_factory=lambda: [400, 500, 600])
    crop_size: list[int] = field(default_factory=lambda: [384, 600])  # smallest and largest side of the random crop
    instance_mask_format: str = "polygon"  # polygon or bitmask: both are read from the same json
    mask_on: bool = True  # False: evaluate boxes only


@dataclass
class TestMapperConfig:
    short_edge_length: int = 800
    max_size: int = 1333


@dataclass
class TrainLoaderConfig:
    dataset: DatasetNamesConfig = field(
        default_factory=lambda: DatasetNamesConfig(names="openworld_voc_classes_train2017")
    )
    mapper: TrainMapperConfig = field(default_factory=TrainMapperConfig)
    total_batch_size: int = 16
    aspect_ratio_grouping: bool = True  # batches of wide images or of tall ones: less padding
    num_workers: int = 4
    prefetch_factor: int = 2  # batches that each worker makes ahead


@dataclass
class TestLoaderConfig:
    dataset: DatasetNamesConfig = field(
        default_factory=lambda: DatasetNamesConfig(names="openworld_nonvoc_classes_val2017")
    )
    mapper: TestMapperConfig = field(default_factory=TestMapperConfig)
    batch_size: int = 1
    num_workers: int = 4


@dataclass
class DataloaderConfig:
    train: TrainLoaderConfig = field(default_factory=TrainLoaderConfig)
    test: TestLoaderConfig = field(default_factory=TestLoaderConfig)


# --- optimizer and train ---------------------------------------------------------------------------------------------


@dataclass
class OptimizerConfig:
    lr: float = 1e-4
    backbone_lr_factor: float = 0.1
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    weight_decay: float = 1e-4
    weight_decay_norm: float = 0.0
    milestones: list[int] = field(default_factory=lambda: [48000])  # iterations at which the rate is multiplied
    gamma: float = 0.1
    warmup_iters: int = 0


@dataclass
class AmpConfig:
    enabled: bool = False
    dtype: str = "bfloat16"


@dataclass
class ClipGradParams:
    max_norm: float = 0.1
    norm_type: float = 2.0


@dataclass
class ClipGradConfig:
    enabled: bool = True
    params: ClipGradParams = field(default_factory=ClipGradParams)


@dataclass
class CheckpointerConfig:
    period: int = 5000
    max_to_keep: int = 1  # earlier checkpoints that stay beside last.pt, named by their iteration


@dataclass
class ModelEmaConfig:
    enabled: bool = True  # the teacher
    decay: float = 0.999
    use_ema_weights_for_eval_only: bool = False  # evaluate the teacher instead of the student


@dataclass
class TrainConfig:
    output_dir: str = "runs/default"
    init_checkpoint: str = ""
    max_iter: int = 60000
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    log_period: int = 20
    eval_period: int = 5000  # evaluate while training; 0: only at the end, by `vclr evaluate`
    num_threads: int = 0  # of torch on the CPU; 0: all
    micro_batch_size: int = 0  # images a process that go through the model at once, twice, in less memory; 0: all
    compile: bool = False  # compile the backbone with torch.compile, where there is a C++ compiler
    tf32: bool = True  # let a GPU compute float32 products in TF32; evaluation never does
    amp: AmpConfig = field(default_factory=AmpConfig)
    clip_grad: ClipGradConfig = field(default_factory=ClipGradConfig)
    checkpointer: CheckpointerConfig = field(default_factory=CheckpointerConfig)
    model_ema: ModelEmaConfig = field(default_factory=ModelEmaConfig)


# --- our own roots ---------------------------------------------------------------------------------------------------


@dataclass
class DataSetConfig:
    annotations: str = ""  # COCO json
    images: Any = ""  # folder, or its zip; or a list of folders, searched in order
    views: dict[str, str] = field(default_factory=dict)  # view name -> folder (or its zip) with the same file stems
    proposals: str = ""  # COCO json of object proposals

    def __post_init__(self) -> None:
        if isinstance(self.images, int | float):  # a name such as 2017, which YAML takes for a number
            self.images = str(self.images)


@dataclass
class DataConfig:
    root: str = "data"
    train: DataSetConfig = field(default_factory=DataSetConfig)
    test: DataSetConfig = field(default_factory=DataSetConfig)


@dataclass
class CorruptConfig:
    mix: bool = True
    erase: bool = True
    grayscale: bool = True


@dataclass
class ViewsConfig:
    # Relative weight of each view in training: natural, a folder of data.train.views, or one that the loader computes
    # (edge, palette, fourier, random_conv, pseudo_depth). Empty: natural and every folder alike.
    weights: dict[str, float] = field(default_factory=dict)
    seed: int = 0  # of the views that are computed, together with the image id
    corrupt: CorruptConfig = field(default_factory=CorruptConfig)  # noise on the student's image


@dataclass
class ProposalsConfig:
    method: str = "graph"
    top_k: int = 10  # best proposals of an image that join its annotations
    max_iou: float = 0.5  # a proposal that overlaps an annotation more than this is that object already


@dataclass
class EvaluationConfig:
    protocol: str = ""  # the group of classes, or the catalog's protocol, that the headline metrics are of
    protocols: list[str] = field(default_factory=list)  # what the workflow evaluates one training on, each apart
    test_sets: dict[str, DataSetConfig] = field(default_factory=dict)  # protocols of your own: name -> test set
    groups: dict[str, list[str]] = field(default_factory=dict)  # group name -> category names
    max_dets: list[int] = field(default_factory=lambda: [1, 10, 20, 30, 50, 100, 300])
    dtype: str = "float32"  # of the mask branch, most of the arithmetic; which objects are found stays in float32


@dataclass
class TrackingConfig:
    enabled: bool = True
    uri: str = "sqlite:///mlflow.db"
    experiment: str = "vclr"
    run_name: str = ""  # default: the last two parts of train.output_dir
    log_checkpoint: bool = False  # True: a copy as an artifact; False: a pointer to the run folder


@dataclass
class LauncherConfig:
    """Where `vclr launch` runs a training, and what it asks the cluster for; 0 and empty leave that to the cluster."""

    backend: str = "local"  # slurm, local, or debug (in the process itself)
    nodes: int = 1
    tasks_per_node: int = 1  # processes of the training on each node
    cpus_per_task: int = 0
    gpus_per_node: int = -1  # -1: one for each process, where the partition has any
    gpu_type: str = ""  # of these GPUs, where a site wants to be told: a100
    gres: str = ""  # instead of both, in SLURM's words: gpu:a100:4
    mem_mb: int = 0  # of a node
    runtime: int = 0  # minutes
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    extra: str = ""  # more options of sbatch, as on its command line
    warning_seconds: int = 120  # before the time is up: what a step and a checkpoint may take
    poll_seconds: float = 10.0  # between two questions to the cluster
    max_resubmissions: int = 20  # after preemptions, time limits, failures of nodes
    max_failures: int = 2  # without progress in between
    on_interrupt: str = "cancel"  # what Ctrl-C does to the job: cancel, or detach


@dataclass
class CompatConfig:
    """What the reference does wrong and the published weights were trained with; docs/parity.md measures each."""

    batch_norm: bool = False  # statistics of the mask branch of each process alone, not of all together
    padding: bool = False  # in training, let the padding of a batch leak into features, proposals and mask losses


@dataclass
class Config:
    model: ModelConfig = field(default_factory=ModelConfig)
    dataloader: DataloaderConfig = field(default_factory=DataloaderConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    proposals: ProposalsConfig = field(default_factory=ProposalsConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    launcher: LauncherConfig = field(default_factory=LauncherConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    compat: CompatConfig = field(default_factory=CompatConfig)
