"""Settings of the roots `optimizer`, `train` and `compat`: how a detector is trained."""

from __future__ import annotations

from dataclasses import dataclass

from vclr.config.setting import section, setting

MAX_THREADS = 1024  # a far higher number crashes the process


@dataclass
class OptimizerConfig:
    lr: float = setting(1e-4, "Learning rate of AdamW.", at_least=0)
    backbone_lr_factor: float = setting(0.1, "Factor on the learning rate of the backbone.", at_least=0)
    layer_decay: float = setting(
        1.0,
        "Factor on the learning rate of a layer of the backbone for each layer after it (`transformers`); 1: off.",
        at_least=1e-12,
        at_most=1,
        before=1.0,
    )
    betas: list[float] = setting([0.9, 0.999], "Betas of AdamW.", length=2, at_least=0, at_most=1)
    weight_decay: float = setting(1e-4, "Weight decay.", at_least=0)
    weight_decay_norm: float = setting(0.0, "Weight decay of normalization layers.", at_least=0)
    milestones: list[int | float] = setting(
        [0.8],
        "When the rate is multiplied by `gamma`, in any order: iterations, or shares of `train.max_iter` between 0 and "
        "1, which become iterations when the settings are loaded. If empty, the rate stays.",
        at_least=0,
        may_be_empty=True,
    )
    gamma: float = setting(0.1, "Factor on the learning rate at each milestone.", at_least=0)
    warmup_iters: int = setting(0, "Number of iterations of linear warm-up.", at_least=0)


@dataclass
class AmpConfig:
    enabled: bool = setting(False, "Train with mixed precision.")
    dtype: str = setting("bfloat16", "Number format of mixed precision.", choices=("bfloat16", "float16"))


@dataclass
class ClipGradParams:
    max_norm: float = setting(0.1, "Maximum norm of all gradients together.", at_least=1e-12)
    norm_type: float = setting(
        2.0, "Order of the norm; 2 is the Euclidean one, inf the largest.", at_least=1, may_be_infinite=True
    )


@dataclass
class ClipGradConfig:
    enabled: bool = setting(True, "Clip gradients.")
    params: ClipGradParams = section(ClipGradParams)


@dataclass
class CheckpointerConfig:
    period: int = setting(5000, "Iterations between two checkpoints.", at_least=1)
    max_to_keep: int = setting(
        1,
        "Number of earlier checkpoints to keep beside last.pt, named by their iteration. If last.pt is damaged, the "
        "newest of them takes its place.",
        at_least=0,
    )


@dataclass
class ModelEmaConfig:
    enabled: bool = setting(True, "Keep a teacher: a moving average of the student's weights.")
    decay: float = setting(0.999, "Momentum of the teacher.", at_least=0, at_most=1)
    use_ema_weights_for_eval_only: bool = setting(
        False,
        "Evaluate and predict with the teacher instead of the student; the option `--weights` overrides this.",
        changes="evaluation",
    )


@dataclass
class EarlyStoppingConfig:
    patience: int = setting(
        0,
        "End the training after this many evaluations in a row in which `train.best_metric` did not improve; 0 never "
        "ends it early.",
        at_least=0,
        before=0,
    )
    min_delta: float = setting(
        0.0, "Percentage points by which the metric must rise to count as improved.", at_least=0, before=0.0
    )


@dataclass
class TrainConfig:
    output_dir: str = setting("runs/default", "The run folder.", changes="nothing")
    init_checkpoint: str = setting(
        "",
        "Weights to start from; with `--eval-only`, the weights to evaluate. A path, or `models:/NAME@best`.",
    )
    max_iter: int = setting(60000, "Number of optimizer steps.", at_least=1, changes="length")
    seed: int = setting(
        0, "Seed of everything random: initial weights, order of images, augmentation.", at_least=0, at_most=2**63 - 1
    )
    device: str = setting("auto", "Device: `auto`, `cpu`, `cuda`, `cuda:1` and so on.", changes="nothing")
    log_period: int = setting(20, "Iterations between two records in metrics.jsonl.", at_least=1, changes="nothing")
    eval_period: int = setting(
        5000,
        "Iterations between two evaluations; 0 for none. Each evaluates the student and, if there is one, the teacher, "
        "which takes twice as long.",
        at_least=0,
        changes="nothing",
    )
    best_metric: str = setting(
        "",
        "Keep the checkpoint of the evaluation with the highest value of this metric, such as `mask_ar@100`, as "
        "checkpoints/best.pt; empty for none. `student/` or `teacher/` before the name says whose metric it is; the "
        "default is the weights that `use_ema_weights_for_eval_only` chooses. The workflow evaluates last.pt all the "
        "same; docs/resume.md says how to evaluate best.pt.",
        changes="nothing",
        before="",
    )
    early_stopping: EarlyStoppingConfig = section(EarlyStoppingConfig)
    num_threads: int = setting(0, "CPU threads; 0 for all.", at_least=0, at_most=MAX_THREADS, changes="nothing")
    micro_batch_size: int = setting(
        0,
        "Images per process that pass through backbone and encoder at once; 0 for all. Fewer need less memory but pass "
        "twice (again for the gradient). The results are those of the whole batch, but for the noise of dropout and "
        "drop path.",
        at_least=0,
        changes="nothing",
    )
    compile: bool = setting(False, "Compile the backbone; needs a C++ compiler.", changes="nothing")
    tf32: bool = setting(
        True,
        "Let a GPU (Ampere or later) compute float32 convolutions and products in TF32, with 10 bits of mantissa and "
        "several times as fast. Evaluation, `vclr predict` and CPUs never do.",
        changes="rounding",
    )
    amp: AmpConfig = section(AmpConfig)
    clip_grad: ClipGradConfig = section(ClipGradConfig)
    checkpointer: CheckpointerConfig = section(CheckpointerConfig, changes="nothing")
    model_ema: ModelEmaConfig = section(ModelEmaConfig)


@dataclass
class CompatConfig:
    """Faults of the reference that the published weights were trained with; docs/parity.md describes each."""

    batch_norm: bool = setting(
        False,
        "Compute the batch norm of the mask branch per group (`dataloader.train.group_size`; per process if that is "
        "0), not over the batch.",
    )
    consistency_mean: bool = setting(
        False,
        "Compute the consistency loss as the mean over groups (processes if `dataloader.train.group_size` is 0) of the "
        "mean over a group's pairs, not as the mean over the batch's pairs.",
        before=False,
    )
    padding: bool = setting(
        False, "In training, let the padding of a group leak into its features, proposals and mask losses."
    )
