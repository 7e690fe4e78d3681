"""Which values a setting may have, beyond its type."""

from __future__ import annotations

import math

from vclr.catalog.losses import denoising_losses, teacher_losses
from vclr.catalog.metrics import KINDS, metric_names
from vclr.catalog.weights import STUDENT, WEIGHTS
from vclr.config.dataloader import AUTO, TrainLoaderConfig
from vclr.config.evaluations import evaluates_while_training
from vclr.config.model import BackboneConfig, ConsistencyConfig, ModelConfig, TwoLossesConfig
from vclr.config.setting import Setting, settings_of
from vclr.config.tree import Config
from vclr.errors import UsageError, nearest

OF_RESNET = ("depth", "norm", "stem_out_channels", "stem_pool", "res2_out_channels")
OF_TRANSFORMERS = ("source", "revision", "drop_path")
MAX_RESNET_FREEZE = 5  # the stem and four stages


def check_values(config: Config) -> None:
    """Check every setting by itself, and the settings that depend on each other.

    Raises:
        UsageError: a value is not allowed; the error says which values are.
    """
    for setting in settings_of(config):
        _check_value(setting)
    _check_views("weights", config.views.weights)
    _check_views("teacher_weights", config.views.teacher_weights)
    _check_channels(config.model)
    _check_backbone(config)
    smallest, largest = config.dataloader.train.mapper.crop_size
    if smallest > largest:
        raise UsageError(f"dataloader.train.mapper.crop_size={[smallest, largest]}: the smallest side comes first")
    _check_teacher(config)
    _check_two_losses(config.model.criterion.two_losses)
    _check_consistency(config)
    _check_kinds(config)
    _check_best(config)
    _check_folders(config)
    _check_group_size(config.dataloader.train)
    _check_denoising(config.model)


def check_share(batch_size: int | str, world_size: int) -> None:
    """Check that processes can share a batch evenly; a batch size that is still to be found cannot be shared."""
    if batch_size == AUTO and world_size > 1:
        raise UsageError(
            f"dataloader.train.total_batch_size={AUTO}: needs one process; set a multiple of the {world_size} processes"
        )
    if batch_size != AUTO and int(batch_size) % world_size:
        raise UsageError(
            f"dataloader.train.total_batch_size={batch_size}: must be a multiple of the {world_size} processes"
        )


def check_processes(config: Config, world_size: int) -> None:
    """Check that processes can share a batch evenly, and that images that are padded together stay together."""
    loader = config.dataloader.train
    check_share(loader.total_batch_size, world_size)
    if world_size == 1:
        return
    share = loader.total_batch_size // world_size
    if config.compat.padding and loader.group_size and share % loader.group_size:
        raise UsageError(
            f"compat.padding=True: the {share} images of each of {world_size} processes must be a multiple of "
            f"dataloader.train.group_size={loader.group_size}; use fewer processes or another group size"
        )


def limits(low: float, high: float) -> str:
    """Return a range in words; empty if every number is in it."""
    if high == math.inf:
        return "" if low == -math.inf else f"at least {low}"
    return f"from {low} to {high}"


def _check_value(setting: Setting) -> None:
    key, value, about = setting.key, setting.value, setting.about
    if about.choices and value not in about.choices:
        raise UsageError(f"{key}={value}: must be one of {', '.join(map(str, about.choices))}")
    if value in about.words:
        return
    allowed = limits(about.at_least, about.at_most)
    if about.words:
        allowed = ", or ".join([f"{allowed} (a whole number)", *about.words])
        if type(value) is not int:
            raise UsageError(f"{key}={value}: must be {allowed}")
    if about.length and len(value) != about.length:
        raise UsageError(f"{key}={value}: must be {about.length} numbers")
    numbers = [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, float | int)]
    if not about.may_be_infinite and not all(map(math.isfinite, numbers)):
        raise UsageError(f"{key}={value}: must be finite")
    if allowed:
        if not numbers and not about.may_be_empty:
            raise UsageError(f"{key}: must not be empty")
        if not all(about.at_least <= number <= about.at_most for number in numbers):
            raise UsageError(f"{key}={value}: must be {allowed}")


def _check_views(key: str, weights: dict[str, float]) -> None:
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise UsageError(f"views.{key}.{name}={weight}: must be a finite number that is not negative")
    if weights and not sum(weights.values()) > 0:
        raise UsageError(f"views.{key}: at least one view needs a weight above 0")


def _check_teacher(config: Config) -> None:
    """Check that the teacher is on if a loss needs it or it is evaluated."""
    needed = teacher_losses(vars(config.model.criterion.weight_dict))
    if needed and not config.train.model_ema.enabled:
        advice = " ".join(f"model.criterion.weight_dict.{name}=0" for name in needed)
        raise UsageError(f"train.model_ema.enabled=False: {', '.join(needed)} needs the teacher; set {advice} too")
    if config.views.teacher_weights and not needed:
        raise UsageError(
            "views.teacher_weights: has no effect, because no loss needs the teacher "
            "(model.criterion.weight_dict.loss_consistency=0); leave it out, or set views.teacher_weights={}"
        )
    if config.train.model_ema.use_ema_weights_for_eval_only and not config.train.model_ema.enabled:
        key = "train.model_ema.use_ema_weights_for_eval_only"
        raise UsageError(f"train.model_ema.enabled=False: there is no teacher to evaluate; set {key}=False too")


def _check_two_losses(two_losses: TwoLossesConfig) -> None:
    """Check that the factors of the two losses have an effect, and that one of the losses is left."""
    key = "model.criterion.two_losses"
    factors = {"annotations": two_losses.annotations, "proposals": two_losses.proposals}
    if two_losses.enabled and not any(factors.values()):
        raise UsageError(f"{key}.annotations=0.0 and {key}.proposals=0.0: nothing would be detected; set one above 0")
    for name, factor in factors.items():
        if factor != 1 and not two_losses.enabled:
            raise UsageError(f"{key}.{name}={factor}: needs {key}.enabled=True")


def _check_consistency(config: Config) -> None:
    """Check that the settings of the consistency loss have an effect, alone and together."""
    key, chosen, default = "model.criterion.consistency", config.model.criterion.consistency, ConsistencyConfig()
    changed = [name for name, value in vars(chosen).items() if value != getattr(default, name)]
    if changed and not config.model.criterion.weight_dict.loss_consistency:
        said = f"{key}.{changed[0]}={getattr(chosen, changed[0])}"
        raise UsageError(f"{said}: needs model.criterion.weight_dict.loss_consistency above 0")
    if "temperature" in changed and chosen.kind != "contrastive":
        raise UsageError(f"{key}.temperature={chosen.temperature}: needs {key}.kind=contrastive")
    if chosen.layers == "all" and not config.model.aux_loss:
        raise UsageError(f"{key}.layers=all: needs model.aux_loss=True, which computes the earlier layers")
    if chosen.features == "memory":
        if chosen.layers == "all":
            raise UsageError(f"{key}.layers=all: needs {key}.features=queries; the memory is that of one layer")
        if config.compat.padding:
            raise UsageError(f"{key}.features=memory: needs compat.padding=False")


def _check_kinds(config: Config) -> None:
    """Check that annotations train beside object proposals if a setting tells the two apart."""
    if config.proposals.only and (apart := config.model.criterion.tells_apart()):
        raise UsageError(f"{apart}: needs annotations beside object proposals; set proposals.only=False")


def _check_best(config: Config) -> None:
    """Check the metric that decides which checkpoint is the best one, and when a training ends early."""
    train, stopping = config.train, config.train.early_stopping
    if stopping.min_delta and not stopping.patience:
        raise UsageError(f"train.early_stopping.min_delta={stopping.min_delta}: needs train.early_stopping.patience")
    if not train.best_metric:
        if stopping.patience:
            raise UsageError(
                f"train.early_stopping.patience={stopping.patience}: needs train.best_metric, such as mask_ar@100"
            )
        return
    weights = WEIGHTS if train.model_ema.enabled else (STUDENT,)
    kinds = KINDS if config.dataloader.train.mapper.mask_on else KINDS[:1]
    metrics = [name for kind in kinds for name in metric_names(kind, config.evaluation.max_dets)]
    known = [*metrics, *(f"{one}/{metric}" for one in weights for metric in metrics)]
    if train.best_metric not in known:
        raise UsageError(
            f"train.best_metric={train.best_metric}: this training does not measure it; "
            f"nearest: {nearest(train.best_metric, known)}"
        )
    if not evaluates_while_training(config):
        raise UsageError(
            f"train.best_metric={train.best_metric}: needs evaluations during the training; "
            f"set train.eval_period to a number from 1 to train.max_iter={train.max_iter}"
        )


def _check_group_size(loader: TrainLoaderConfig) -> None:
    """Check that groups share a batch evenly."""
    if loader.group_size and loader.total_batch_size != AUTO and loader.total_batch_size % loader.group_size:
        raise UsageError(
            f"dataloader.train.total_batch_size={loader.total_batch_size}: must be a multiple of "
            f"dataloader.train.group_size={loader.group_size} (0: the whole batch is one group)"
        )


def _check_folders(config: Config) -> None:
    """Check the settings that are a folder or a list of folders, which no type expresses."""
    own = {f"evaluation.test_sets.{name}": data_set for name, data_set in config.evaluation.test_sets.items()}
    for key, data_set in {"data.train": config.data.train, "data.test": config.data.test, **own}.items():
        value = data_set.images
        is_list = isinstance(value, list) and value and all(isinstance(folder, str) and folder for folder in value)
        if not isinstance(value, str) and not is_list:
            raise UsageError(f"{key}.images={value}: must be a folder or a list of folders")


def _check_channels(model: ModelConfig) -> None:
    """Check that attention heads, norm groups, and the sines and cosines of two axes can share channels evenly."""
    heads = {part: getattr(model.transformer, part).num_heads for part in ("encoder", "decoder")}
    divisors = {f"model.transformer.{part}.num_heads": number for part, number in heads.items()}
    groups = {"model.norm_groups": model.norm_groups}
    shared = [("model.embed_dim", model.embed_dim, divisors | groups)]
    if model.backbone.norm == "GN":
        shared.append(("model.backbone.stem_out_channels", model.backbone.stem_out_channels, groups))
        shared.append(("model.backbone.res2_out_channels", model.backbone.res2_out_channels, groups))
    for key, channels, numbers in shared:
        for name, number in numbers.items():
            if channels % number:
                raise UsageError(f"{key}={channels}: must be a multiple of {name}={number}")
    if model.embed_dim % 4:
        raise UsageError(f"model.embed_dim={model.embed_dim}: must be a multiple of 4")


def _check_denoising(model: ModelConfig) -> None:
    """Check that settings of the denoising queries have an effect.

    `model.dn_number` without a weight is what the reference's files say. It computes nothing, so `check_overrides`
    warns whoever gives it on the command line.
    """
    losses, usual = denoising_losses(vars(model.criterion.weight_dict)), ModelConfig()
    if losses and not model.dn_number:
        raise UsageError(f"model.criterion.weight_dict.{losses[0]}: needs model.dn_number above 0, such as 100")
    if model.box_noise_scale != usual.box_noise_scale and not model.denoises:
        raise UsageError(
            f"model.box_noise_scale={model.box_noise_scale}: needs model.dn_number above 0, such as 100, and a weight "
            "above 0 of model.criterion.weight_dict.*_dn"
        )
    if model.label_noise_ratio != usual.label_noise_ratio and model.num_classes == 1:
        raise UsageError(
            f"model.label_noise_ratio={model.label_noise_ratio}: has no effect with one class; leave it out"
        )


def _check_backbone(config: Config) -> None:
    """Refuse settings of one family of backbones that have no effect on another."""
    backbone, decay = config.model.backbone, config.optimizer.layer_decay
    if backbone.name == "transformers":
        _refuse_changed(backbone, OF_RESNET)
        if not backbone.source:
            raise UsageError(
                "model.backbone.name=transformers: needs model.backbone.source, a folder or a model of the hub"
            )
    if backbone.name == "resnet":
        _refuse_changed(backbone, OF_TRANSFORMERS)
        if backbone.freeze_at > MAX_RESNET_FREEZE:
            raise UsageError(f"model.backbone.freeze_at={backbone.freeze_at}: must be from 0 to {MAX_RESNET_FREEZE}")
        if decay != 1:
            raise UsageError(f"optimizer.layer_decay={decay}: has no effect on a resnet; leave it out")


def _refuse_changed(backbone: BackboneConfig, names: tuple[str, ...]) -> None:
    """Refuse settings that differ from their defaults; the error says how to set all of them back."""
    defaults = BackboneConfig()
    if changed := [name for name in names if getattr(backbone, name) != getattr(defaults, name)]:
        given = " ".join(f"model.backbone.{name}={getattr(backbone, name)}" for name in changed)
        back = " ".join(f"model.backbone.{name}={getattr(defaults, name)}" for name in changed)
        raise UsageError(f"{given}: has no effect on model.backbone.name={backbone.name}; set {back}")
