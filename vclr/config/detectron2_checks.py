"""Which settings have a meaning for a model of detectron2, and which of its own repeat one of vclr.

The model, its losses and its optimizer are detectron2's, with settings of its own. Data, views, augmentation, length,
checkpoints and evaluation are set by the same keys as for the project's own detector.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from vclr.config.dataloader import AUTO
from vclr.config.milestones import resolve_milestones
from vclr.config.setting import settings_of
from vclr.config.tree import Config
from vclr.errors import UsageError

# Settings that only the project's own detector has, or a section of them, with what to use instead.
OWN_DETECTOR = {
    "model.": "set detectron2.settings.MODEL",
    "optimizer.": "set detectron2.settings.SOLVER",
    "compat.": "leave it out",
    "views.corrupt.": "leave it out",
    "train.amp.": "set detectron2.settings.SOLVER.AMP",
    "train.clip_grad.": "set detectron2.settings.SOLVER.CLIP_GRADIENTS",
    "train.compile": "leave it out",
    "train.micro_batch_size": "leave it out",
    "train.model_ema.": "leave it out",
}
# Of these, what counts in evaluation whatever the model is ...
OF_BOTH = ("model.select_box_nums_for_evaluation", "model.nms_thresh")
# ... and what a training must turn off, so that its settings say what it does: there is no teacher and no corruption.
MUST_BE_OFF = (
    "model.criterion.weight_dict.loss_consistency",
    "train.model_ema.enabled",
    *(f"views.corrupt.{name}" for name in ("mix", "erase", "grayscale")),
)

# Keys of detectron2's configuration that repeat a setting, or a section of them, with that setting.
REPEATED = {
    "DATALOADER": "dataloader.train",
    "DATASETS": "data.train and data.test",
    "INPUT.CROP": "dataloader.train.mapper",
    "INPUT.MASK_FORMAT": "data.train.annotations, which may have either format",
    "INPUT.MAX_SIZE_TEST": "dataloader.test.mapper.max_size",
    "INPUT.MAX_SIZE_TRAIN": "dataloader.train.mapper.max_size",
    "INPUT.MIN_SIZE_TEST": "dataloader.test.mapper.short_edge_length",
    "INPUT.MIN_SIZE_TRAIN": "dataloader.train.mapper.short_edge_length",
    "INPUT.RANDOM_FLIP": "nothing: half of the samples are flipped",
    "MODEL.DEVICE": "train.device",
    "MODEL.WEIGHTS": "train.init_checkpoint",
    "OUTPUT_DIR": "train.output_dir",
    "SEED": "train.seed",
    "SOLVER.CHECKPOINT_PERIOD": "train.checkpointer.period",
    "SOLVER.IMS_PER_BATCH": "dataloader.train.total_batch_size",
    "SOLVER.MAX_ITER": "train.max_iter",
    "TEST.AUG": "nothing: photos are evaluated once",
    "TEST.EVAL_PERIOD": "train.eval_period",
    "dataloader": "dataloader.train",
    "train": "train",
}


def is_of_own_detector(key: str) -> bool:
    """Tell whether a setting has no meaning for a model of detectron2."""
    return key.startswith(tuple(OWN_DETECTOR)) and key not in OF_BOTH


def check_training(config: Config) -> None:
    """Check that every setting of a training has an effect on the model of detectron2 that it names, if it names one.

    Raises:
        UsageError: names the setting, and what to use instead.
    """
    chosen = config.detectron2.config
    if not chosen:
        return
    values = {setting.key: setting.value for setting in settings_of(config)}
    if on := [key for key in MUST_BE_OFF if values[key]]:
        off = " ".join(f"{key}={'False' if values[key] is True else 0}" for key in on)
        raise UsageError(f"detectron2.config={chosen}: has no teacher, and no corrupted images; set {off}")
    if config.dataloader.train.total_batch_size == AUTO:
        raise UsageError(f"dataloader.train.total_batch_size={AUTO}: needs a number for a model of detectron2")
    if differing := _differing(config):
        _refuse(differing[0])


def refuse_unused(config: Config, keys: Collection[str]) -> None:
    """Refuse settings of the command line that have no effect on a model of detectron2, and its settings without one.

    The settings of files may be there: an experiment's data and protocol are used to evaluate models of others.

    Args:
        config: the whole configuration.
        keys: the settings that were given on the command line.

    Raises:
        UsageError: names the setting, and what to use instead.
    """
    chosen = config.detectron2
    if not chosen.config:
        if chosen.settings:
            raise UsageError("detectron2.settings: has no effect without detectron2.config, which names the model")
        return
    for key in list_keys_of(chosen.settings):
        for repeated, own in REPEATED.items():
            if f"{key}.".startswith(f"{repeated}."):
                raise UsageError(f"detectron2.settings.{key}: use {own}")
    for key in _differing(config):
        if key in keys:
            _refuse(key)


def _refuse(key: str) -> NoReturn:
    advice = next(text for part, text in OWN_DETECTOR.items() if key.startswith(part))
    raise UsageError(f"{key}: has no effect on a model of detectron2 (detectron2.config); {advice}")


def list_keys_of(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of nested settings."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from list_keys_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _differing(config: Config) -> list[str]:
    """List the settings of the own detector that are not at their defaults, nor off if they must be."""
    defaults = {setting.key: setting.value for setting in settings_of(Config())}
    shares = defaults["optimizer.milestones"]
    defaults["optimizer.milestones"] = resolve_milestones(shares, config.train.max_iter)  # as a loaded one has them
    return [
        setting.key
        for setting in settings_of(config)
        if is_of_own_detector(setting.key)
        and setting.value != defaults[setting.key]
        and not (setting.key in MUST_BE_OFF and not setting.value)
    ]
