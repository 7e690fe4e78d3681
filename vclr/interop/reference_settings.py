"""The reference's configuration and ours: which of its values is which of our settings, both ways.

`reference_configs.json` holds every value of the reference's two config files, by its dotted key. A value that has no
counterpart here, and one of ours that has none there, is never dropped: it is returned beside the translation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from vclr.catalog.data_sets import DATA_SETS
from vclr.config import Config, config_from_text, flat_config

FACTS = Path(__file__).with_name("reference_configs.json")
LAYER = re.compile(r"_(\d|enc)$")  # the end of the name of a loss that is not the last layer's
ABSENT = "(absent)"  # stands for a value of the published file that another one lacks

# The reference's key: ours, if it has another name.
RENAMED = {
    "dataloader.evaluator.dataset_name": "dataloader.test.dataset.names",
    "dataloader.evaluator.max_dets_per_image": "evaluation.max_dets",
    "dataloader.test.mapper.augmentation.0.max_size": "dataloader.test.mapper.max_size",
    "dataloader.test.mapper.augmentation.0.short_edge_length": "dataloader.test.mapper.short_edge_length",
    "dataloader.test.mapper.mask_on": "dataloader.train.mapper.mask_on",
    "dataloader.train.mapper.augmentation.1.max_size": "dataloader.train.mapper.max_size",
    "dataloader.train.mapper.augmentation.1.short_edge_length": "dataloader.train.mapper.short_edge_length",
    "dataloader.train.mapper.augmentation_with_crop.1.short_edge_length": (
        "dataloader.train.mapper.crop_short_edge_length"
    ),
    "dataloader.train.mapper.augmentation_with_crop.2.crop_size": "dataloader.train.mapper.crop_size",
    "dataloader.train.mapper.augmentation_with_crop.3.max_size": "dataloader.train.mapper.max_size",
    "dataloader.train.mapper.augmentation_with_crop.3.short_edge_length": "dataloader.train.mapper.short_edge_length",
    "model.backbone.stages.depth": "model.backbone.depth",
    "model.backbone.stages.norm": "model.backbone.norm",
    "model.backbone.stem.norm": "model.backbone.norm",
    "model.backbone.stem.out_channels": "model.backbone.stem_out_channels",
    "model.criterion.num_classes": "model.num_classes",
    "model.device": "train.device",
    "model.neck.norm_layer.num_channels": "model.embed_dim",
    "model.neck.norm_layer.num_groups": "model.norm_groups",
    "model.neck.num_outs": "model.transformer.num_feature_levels",
    "model.neck.out_channels": "model.embed_dim",
    "model.transformer.decoder.embed_dim": "model.embed_dim",
    "model.transformer.decoder.num_feature_levels": "model.transformer.num_feature_levels",
    "model.transformer.encoder.embed_dim": "model.embed_dim",
    "model.transformer.encoder.num_feature_levels": "model.transformer.num_feature_levels",
    "model.transformer.two_stage_num_proposals": "model.num_queries",
    "optimizer.params.base_lr": "optimizer.lr",
    "optimizer.params.lr_factor_func.of backbone": "optimizer.backbone_lr_factor",
    "optimizer.params.weight_decay_norm": "optimizer.weight_decay_norm",
} | {
    f"model.consistency_criterion.matcher.{name}": f"model.criterion.matcher.{name}"
    for name in (*("alpha", "gamma"), *("cost_class", "cost_bbox", "cost_giou"))
}

UPDATES = 37500  # iterations of the reference's schedule, which scales to those of the training
# The reference's key: ours, and our value in the reference's notation.
COMPUTED: dict[str, tuple[str, Callable[[Config], Any]]] = {
    "lr_multiplier.scheduler.milestones": (
        "optimizer.milestones",
        lambda config: [*(UPDATES * at / config.train.max_iter for at in config.optimizer.milestones), UPDATES],
    ),
    "lr_multiplier.scheduler.values": (
        "optimizer.gamma",
        lambda config: [config.optimizer.gamma**count for count in range(len(config.optimizer.milestones) + 1)],
    ),
    "lr_multiplier.warmup_length": (
        "optimizer.warmup_iters",
        lambda config: config.optimizer.warmup_iters / config.train.max_iter,
    ),
    "model.position_embedding.num_pos_feats": ("model.embed_dim", lambda config: config.model.embed_dim // 2),
}

# Ours: how the reference writes values of it that differ, by its value.
WRITTEN: dict[str, dict[Any, Any]] = {
    "train.device": {"cuda": "auto"},
    "train.init_checkpoint": {"detectron2://ImageNetPretrained/torchvision/R-50.pkl": "data/weights/R-50.pkl"},
    "train.seed": {-1: 0},  # -1 draws a seed
}
NO_EFFECT = ("model.select_box_nums_for_evaluation",)  # the reference takes 300, whatever it says
OWN_SET = "vclr_{}"  # names of data sets that are not of the catalog, by their part


@cache
def published(name: str) -> dict[str, Any]:
    """Return every value of a config file of the reference: `voc_to_nonvoc` or `coco_to_lvis`."""
    values: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))["config files"][name]
    return values


@cache
def _published_config(name: str) -> Config:
    return _translate(published(name), name)


def closest_published(values: Mapping[str, Any]) -> str:
    """Return the name of the published config file from which the fewest values differ."""
    names = json.loads(FACTS.read_text(encoding="utf-8"))["config files"]
    return min(names, key=lambda name: len(differences(values, published(name))))


def differences(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs from others, with `ABSENT` for what only the others have."""
    keys = dict.fromkeys([*values, *others])
    return {key: values.get(key, ABSENT) for key in keys if values.get(key, ABSENT) != others.get(key, ABSENT)}


@cache
def name_of(key: str) -> str | None:
    """Return our name of one of the reference's settings; None without one."""
    name = COMPUTED[key][0] if key in COMPUTED else RENAMED.get(key) or LAYER.sub("", key)
    return name if name in flat_config(Config()) else None


def from_reference(values: Mapping[str, Any], source: str) -> tuple[Config, dict[str, Any]]:
    """Translate a configuration of the reference into ours.

    Args:
        values: by dotted key, as `read_lazy_config` returns them.
        source: for errors.

    Returns:
        Our configuration, and the reference's values that cannot be had back from it and the closest published file.

    Raises:
        UsageError: a value is not allowed here.
    """
    config = _translate(values, source)
    restored, _ = to_reference(config, closest_published(values))
    return config, differences(values, restored)


def to_reference(config: Config, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Translate a configuration of ours into the reference's.

    Args:
        config: ours.
        name: the published file that gives the values that vclr has no setting for.

    Returns:
        The reference's values, and our settings that cannot be had back from them.
    """
    there = published(name)
    own, before = flat_config(config), flat_config(_published_config(name))
    values = {}
    for key, value in there.items():
        if (ours := name_of(key)) is None:
            values[key] = value
            continue
        if key in COMPUTED:
            is_equal = COMPUTED[key][1](config) == COMPUTED[key][1](_published_config(name))
            values[key] = value if is_equal else COMPUTED[key][1](config)
        else:
            values[key] = value if own[ours] == before[ours] else _written(ours, own[ours])
    for part in ("train", "test"):
        if own[f"data.{part}.annotations"]:
            values |= _own_set(own, part)
    back = flat_config(_translate(values, name))
    return values, {key: value for key, value in own.items() if value != back.get(key, ABSENT)}


def _translate(values: Mapping[str, Any], source: str) -> Config:
    """Return the settings of ours that the reference's values stand for; of several values for one, its namesake's."""
    ours: dict[str, Any] = {}
    for key, value in sorted(values.items(), key=lambda item: name_of(item[0]) == item[0]):
        if (name := name_of(key)) is not None and key not in COMPUTED and name not in NO_EFFECT:
            ours[name] = WRITTEN.get(name, {}).get(value, value) if isinstance(value, str | int) else value
    if "lr_multiplier.scheduler.milestones" in values:
        ours |= _schedule(values, int(ours.get("train.max_iter", Config().train.max_iter)))
    for part in ("train", "test"):
        named = ours.get(f"dataloader.{part}.dataset.names")
        if named not in DATA_SETS and f"data_sets.{named}.annotations" in values:
            del ours[f"dataloader.{part}.dataset.names"]
            ours |= {f"data.{part}.{key}": values[f"data_sets.{named}.{key}"] for key in ("annotations", "images")}
    return config_from_text(nested_yaml(ours), source)


def _schedule(values: Mapping[str, Any], max_iter: int) -> dict[str, Any]:
    """Return our milestones, which count iterations; the reference's last one is the end."""
    milestones, factors = (values.get(f"lr_multiplier.scheduler.{key}") for key in ("milestones", "values"))
    found: dict[str, Any] = {}
    if milestones:
        found["optimizer.milestones"] = [round(at / milestones[-1] * max_iter) for at in milestones[:-1]]
    if factors and len(factors) > 1 and factors[0]:
        found["optimizer.gamma"] = factors[1] / factors[0]
    found["optimizer.warmup_iters"] = round((values.get("lr_multiplier.warmup_length") or 0) * max_iter)
    return found


def _written(name: str, value: Any) -> Any:
    """Return a value of ours as the reference writes it."""
    return next((theirs for theirs, own in WRITTEN.get(name, {}).items() if own == value), value)


def _own_set(own: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Return the names under which the files of a data set of the user's own are registered."""
    name = OWN_SET.format(part)
    named = {f"dataloader.{part}.dataset.names": name} | (
        {"dataloader.evaluator.dataset_name": name} if part == "test" else {}
    )
    return named | {f"data_sets.{name}.{key}": own[f"data.{part}.{key}"] for key in ("annotations", "images")}


def nested_yaml(settings: Mapping[str, Any]) -> str:
    """Return settings by dotted name as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(as_tree(settings))) if settings else "{}\n"


def as_tree(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by dotted name as nested mappings."""
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        *sections, name = key.split(".")
        section = tree
        for part in sections:
            section = section.setdefault(part, {})
        section[name] = value
    return tree
