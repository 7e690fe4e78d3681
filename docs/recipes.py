"""The table of docs/parity.md that compares each value of the reference's two recipes with ours.

The reference's values are those in reference_configs.json, ours those of the experiments as they are loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from vclr.catalog.data_sets import DATA_SETS
from vclr.config import Config, flat_config, load_config
from vclr.interop.reference_settings import COMPUTED, FACTS, LAYER, RENAMED

EXPERIMENTS = Path(__file__).parents[1] / "configs" / "experiment"
SETS = {"voc_to_nonvoc": "VOC", "coco_to_lvis": "COCO"}
RECIPES = {"": "config files", "_readme": "README"}  # suffix of our experiments: where the reference says it
Values = dict[tuple[str, str], Any]  # recipe, set: value
Row = tuple[str, tuple[str, ...], dict[str, str]]  # key, cells, what may explain its difference, empty without one
Experiments = dict[tuple[str, str], tuple[Config, dict[str, Any]]]  # recipe, set: settings, and by their dotted names

_FIXED = "fixed in the code at this value"
# Pattern of the reference's keys: why our value is another one; why we have no such setting. The first match counts.
WHY_OTHER = {
    "dataloader.evaluator.max_dets_per_image": "at most 300 detections are kept, so recall at 900 is recall at 300",
    "dataloader.*.num_workers": "changes only the speed",
    "model.device": "`auto` takes the GPU if there is one",
    "model.dn_number": "denoising, whose losses all have weight 0, is left out",
    "model.select_box_nums_for_evaluation": "the reference takes 300, whatever this says",
    "train.checkpointer.max_to_keep": "saves disk space; only the newest is needed to resume",
    "train.device": "`auto` takes the GPU if there is one",
    "train.init_checkpoint": "the same weights, where `vclr fetch` puts them",
    "train.log_period": "changes only how often records are written",
    "train.model_ema.use_ema_weights_for_eval_only": "the published figures are those of the averaged weights",
    "train.output_dir": "says only where the training is stored",
    "train.seed": "-1 draws a seed; ours is fixed, so that a training can be repeated",
}
# Of the keys that evaluation commands override.
WHY_EVALUATED = {
    "dataloader.test.dataset.names": "the same, or `--protocol`; by default the test set of the experiment",
    "dataloader.train.mapper.instance_mask_format": "not needed: polygons and RLE are both read from any json",
    "dataloader.train.mapper.mask_on": "not needed: masks are evaluated only if the json has some",
    "train.init_checkpoint": "the same, or `--checkpoint` of `vclr evaluate`",
}
WHY_NONE = {
    "*._target_": "a class or function; ours are not settings",
    "data_sets.*": "the catalog says where a data set is ([data.md](data.md))",
    "dataloader.evaluator.output_dir": "`--output` of `vclr evaluate`",
    "dataloader.*.sample_style": _FIXED,
    "dataloader.*.crop_type": _FIXED,
    "dataloader.*.img_format": _FIXED,
    "dataloader.*.is_train": _FIXED,
    "dataloader.test.mapper.augmentation_with_crop": _FIXED,
    "dataloader.train.mapper.augmentation_strong.*": "the reference computes this image and does not use it",
    "lr_multiplier.warmup_*": "there is no warm-up to shape",
    "model.backbone.out_features": _FIXED,
    "model.backbone.stages.stride_in_1x1": _FIXED,
    "model.backbone.stem.in_channels": _FIXED,
    "model.consistency_criterion.weight_dict.*": "not used: the consistency loss is the similarity alone",
    "model.*.cost_class_type": _FIXED,
    "model.criterion.loss_class_type": _FIXED,
    "model.criterion.two_stage_binary_cls": _FIXED,
    "model.input_format": _FIXED,
    "model.neck.*": _FIXED,
    "model.position_embedding.*": _FIXED,
    "model.r50_extractor": "the reference does not use it",
    "model.transformer.decoder.return_intermediate": _FIXED,
    "model.transformer.encoder.post_norm": _FIXED,
    "model.vis_period": "no pictures are drawn in training",
    "optimizer.params.lr_factor_func.of others": _FIXED,
    "train.ddp.*": "changes only speed and memory; chosen by the code",
    "train.fast_dev_run.*": "there is no such mode",
    "train.model_ema.device": "the teacher is on the device of the training",
    "train.wandb.*": "MLflow instead: `tracking`",
}


def recipes() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the table, a row per key of the reference's config files and of its README's commands.

    Raises:
        ValueError: a difference has no explanation, or an explanation has no difference.
    """
    rows: list[tuple[str, ...]] = []
    unexplained: list[str] = []
    used: set[str] = set()
    experiments = _read_experiments()
    for key, cells, reasons in chain(_training(experiments), _evaluation(experiments)):
        pattern = next((pattern for pattern in reasons if fnmatchcase(key, pattern)), "")
        if reasons and not pattern:
            unexplained.append(key)
        used.add(pattern)
        rows.append((*cells, reasons.get(pattern, "")))
    if unexplained:
        raise ValueError(f"docs/recipes.py: WHY_... does not explain {', '.join(unexplained)}")
    if unneeded := sorted({*WHY_OTHER, *WHY_NONE, *WHY_EVALUATED} - used):
        raise ValueError(f"docs/recipes.py: WHY_... explains what does not differ: {', '.join(unneeded)}")
    return ("reference", "its value", "our value", "our key", "why they differ"), list(_joined(rows))


def _training(experiments: Experiments) -> Iterator[Row]:
    """Yield a row for each key of the reference's recipes."""
    for key, there in _of_reference().items():
        name, here = _ours(key, experiments)
        cells = f"`{key}`", _shown(there), _shown(here) if here else "–", f"`{name}`" if name != key else ""
        is_equal = here and all(_are_equal(there[one], here[one]) for one in there)
        yield key, cells, {} if is_equal else WHY_OTHER if here else WHY_NONE


def _of_reference() -> dict[str, Values]:
    """Return the values of the reference's recipes; those of its README override the config files' in its commands."""
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    found: dict[str, Values] = {}
    for one in SETS:
        config, overrides = facts["config files"][one], facts["README, training"][one]
        readme = config | {key: yaml.safe_load(value) for key, value in overrides.items()}
        for key in readme:
            values = {("config files", one): config.get(key), ("README", one): readme[key]}
            found.setdefault(key, {}).update(values)
    return dict(sorted(found.items()))


def _evaluation(experiments: Experiments) -> Iterator[Row]:
    """Yield a row for each key that the evaluation commands of the reference's README override."""
    commands = json.loads(FACTS.read_text(encoding="utf-8"))["README, evaluation"]
    for key in sorted({*chain(*commands)}):
        there = {_title(command): yaml.safe_load(command[key]) for command in commands if key in command}
        name, here = _ours(key, experiments)
        texts = [f"{_text(value)} ({title})" for title, value in there.items()]
        if len(there) == len(commands) and len({*there.values()}) == 1:
            texts = [_text(value) for value in there.values()][:1]
        cells = (
            f"`--eval-only {key}`",
            ", ".join(texts),
            _shown(here) if here else "–",
            f"`{name}`" if name != key else "",
        )
        is_equal = here and {*there.values()} == {*here.values()}
        yield key, cells, {} if is_equal else WHY_EVALUATED


def _title(command: dict[str, str]) -> str:
    return DATA_SETS[command["dataloader.test.dataset.names"]].title


def _read_experiments() -> Experiments:
    paths = {(recipe, one): EXPERIMENTS / f"{one}{suffix}.yaml" for suffix, recipe in RECIPES.items() for one in SETS}
    configs = {one: load_config(path) for one, path in paths.items()}
    return {one: (config, flat_config(config)) for one, config in configs.items()}


def _ours(key: str, experiments: Experiments) -> tuple[str, Values | None]:
    """Return our key for one of the reference's, and its values in the reference's notation; None without one."""
    if key in COMPUTED:
        name, compute = COMPUTED[key]
        return name, {one: compute(config) for one, (config, _) in experiments.items()}
    name = RENAMED.get(key) or LAYER.sub("", key)
    if any(name not in settings for _, settings in experiments.values()):
        return key, None
    return name, {one: settings[name] for one, (_, settings) in experiments.items()}


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_equal, one, other))
    return bool(one == other)


def _shown(values: Mapping[tuple[str, str], Any]) -> str:
    """Write a value once if the recipes and sets agree, otherwise with its recipe or set."""
    texts = {
        recipe: _by_set({one: _text(values[recipe, one]) for one in SETS if (recipe, one) in values})
        for recipe in RECIPES.values()
    }
    if len(set(texts.values())) == 1:
        return texts["README"]
    return "; ".join(f"{recipe}: {text}" for recipe, text in texts.items())


def _by_set(texts: Mapping[str, str]) -> str:
    if len(texts) == len(SETS) and len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{text} ({SETS[one]})" for one, text in texts.items())


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, list) and len(value) > 8:
        return f"`{value[0]}, {value[1]}, ..., {value[-1]}`"
    if isinstance(value, list):
        return f"`[{', '.join(f'{item:g}' if isinstance(item, float) else str(item) for item in value)}]`"
    return f"`{value}`" if value not in ("", None) else "none"


def _joined(rows: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Join the rows of one loss in several layers if they differ in nothing else than the key."""
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for row in rows:
        base = LAYER.sub("", row[0].strip("`"))
        groups.setdefault((base, *row[1:3], row[4]), []).append(row)
    for (base, *_), (first, *others) in groups.items():
        layers = [f"`{row[0].strip('`').removeprefix(base)}`" for row in others]
        yield f"{first[0]}, {', '.join(layers)}" if layers else first[0], *first[1:]
