"""Convert configurations: ours (YAML), the reference's (LazyConfig), and ours as a LazyConfig for detectron2."""

from __future__ import annotations

import json
import pprint
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vclr.catalog.layouts import CONFIG_LAYOUTS, LAZY_CONFIG, VCLR
from vclr.config import Config, flat_config, load_config, override_config
from vclr.errors import UsageError, UserError, nearest
from vclr.files import atomic_path
from vclr.interop.lazy_config import ROOTS, SETTINGS, read_lazy_config
from vclr.interop.reference_settings import (
    ABSENT,
    as_tree,
    closest_published,
    differences,
    from_reference,
    name_of,
    nested_yaml,
    published,
    to_reference,
)
from vclr.interop.settings import read_settings

# The reference's config file of an experiment, beside which a converted one has its place.
MODULES = {
    "voc_to_nonvoc": "deformable_train_voc_eval_nonvoc",
    "coco_to_lvis": "deformable_train_coco_eval_lvis",
}
# Comments that a written file keeps for the way back.
PUBLISHED_NOTE, REFERENCE_NOTE, VCLR_NOTE = "# closest published file: ", "# of the reference: ", "# of vclr: "


def convert_config(source: Path, output: Path, to: str = VCLR, overrides: Sequence[str] = ()) -> list[str]:
    """Write a configuration in another layout.

    Args:
        source: a YAML file of ours, or a LazyConfig (.py), which is executed: the reference's, or one of ours.
        output: the file to write.
        to: vclr; reference: a LazyConfig to put beside the reference's two; lazyconfig: one for detectron2's tools.
        overrides: `key=value` settings of ours on top of it.

    Returns:
        A line for each value without a counterpart. Such values stand in comments of the output, from which they are
        taken on the way back.

    Raises:
        UsageError: the layout is unknown, or a value is not allowed here.
        UserError: the source cannot be read.
    """
    if to not in CONFIG_LAYOUTS:
        raise UsageError(f"--to {to}: must be {', '.join(CONFIG_LAYOUTS)}; nearest: {nearest(to, CONFIG_LAYOUTS)}")
    config, name, kept = _read(source, overrides)
    unknown: dict[str, Any] = {}
    if to == VCLR:
        text = _as_yaml(config, source.name, name, kept)
    elif to == LAZY_CONFIG:
        text = _as_lazy_config(config, source.name)
    else:
        text, unknown = _as_reference(config, source.name, name or _closest(config), kept)
    with atomic_path(output) as partial:
        partial.write_text(text, encoding="utf-8")
    missing_there = [
        f"{key}={value}: no counterpart in the reference; kept in a comment" for key, value in unknown.items()
    ]
    missing_here = [f"{key}={value}: no counterpart in vclr; kept in a comment" for key, value in kept.items()]
    return missing_there + (missing_here if to == VCLR else [])


def _read(source: Path, overrides: Sequence[str]) -> tuple[Config, str, dict[str, Any]]:
    """Do what `_read_file` does, with overrides on top; what they set is not kept from the reference."""
    config, name, kept = _read_file(source)
    if not overrides:
        return config, name, kept
    is_ours = source.suffix != ".py"  # the file may refer to its own values, which overrides change
    config = load_config(source, [*overrides]) if is_ours else override_config(config, overrides)
    keys = {override.partition("=")[0] for override in overrides}
    return config, name, {key: value for key, value in kept.items() if name_of(key) not in keys}


def _read_file(source: Path) -> tuple[Config, str, dict[str, Any]]:
    """Return a configuration, the published file of the reference that it is closest to, and what only that one has."""
    if not source.is_file():
        raise UsageError(f"{source}: no such file")
    text = source.read_text(encoding="utf-8", errors="replace")
    if source.suffix != ".py":
        return load_config(source), _note(text, PUBLISHED_NOTE), _notes(text, REFERENCE_NOTE)
    values = read_lazy_config(source)
    if all(key == SETTINGS or key.startswith(f"{SETTINGS}.") for key in values):
        own = {key.removeprefix(f"{SETTINGS}."): value for key, value in values.items() if key != SETTINGS}
        return read_settings(as_tree(own)), "", {}
    config, kept = from_reference(values, str(source))
    if notes := _notes(text, VCLR_NOTE):
        config = read_settings(as_tree({**_changed(config), **notes}))
        restored, _ = to_reference(config, closest_published(values))
        kept = differences(values, restored)
    return config, closest_published(values), kept


def _closest(config: Config) -> str:
    """Return the published file from which the fewest values of a configuration differ."""
    return min(MODULES, key=lambda name: len(differences(to_reference(config, name)[0], published(name))))


def _as_yaml(config: Config, source: str, name: str, kept: Mapping[str, Any]) -> str:
    lines = [f"# Converted from {source}."]
    if name:
        lines.append(PUBLISHED_NOTE + name)
    if kept:
        lines.append("# Values without a counterpart here; `vclr convert --to reference` takes them from these lines.")
        lines += [f"{REFERENCE_NOTE}{key} = {json.dumps(value)}" for key, value in kept.items()]
    return "\n".join(lines) + "\n" + nested_yaml(_changed(config))


def _as_reference(config: Config, source: str, name: str, kept: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a config file that changes a published one of the reference, and our settings that it cannot hold."""
    values, unknown = to_reference(config, name)
    changed = differences({**values, **kept}, published(name))
    lines = [
        f'"""Converted from {source}; its place is beside {MODULES[name]}.py of the reference."""',
        "",
        f"from .{MODULES[name]} import {', '.join(sorted(ROOTS))}",
    ]
    sets = {key.split(".")[1] for key in changed if key.startswith("data_sets.") and changed[key] != ABSENT}
    if sets:
        lines += ["from detectron2.data.datasets import register_coco_instances", ""]
    for data_set in sorted(sets):
        files = [changed[f"data_sets.{data_set}.{key}"] for key in ("annotations", "images")]
        lines.append(f"register_coco_instances({data_set!r}, {{}}, {files[0]!r}, {files[1]!r})")
    lines.append("")
    lines += [f"{VCLR_NOTE}{key} = {json.dumps(value)}" for key, value in unknown.items()]
    sections = {key.rpartition(".")[0] for key in published(name)}
    for key, value in changed.items():
        if not key.startswith("data_sets."):
            lines += _new_sections(key, sections)
            lines.append(_assignment(key, value))
    return "\n".join(lines).rstrip() + "\n", unknown


def _new_sections(key: str, known: set[str]) -> list[str]:
    """Return the statements that add the sections of a key that the published file lacks."""
    *parts, _ = key.split(".")
    lines = []
    for count in range(1, len(parts)):
        section = ".".join(parts[: count + 1])
        if not any(one == section or one.startswith(f"{section}.") for one in known):
            lines.append(f"{_target(parts[: count + 1])} = {{}}")
            known.add(section)
    return lines


def _target(parts: list[str]) -> str:
    return parts[0] + "".join(f"[{part}]" if part.isdigit() else f"[{part!r}]" for part in parts[1:])


def _assignment(key: str, value: Any) -> str:
    """Return the statement that gives a value of the reference's config file another value."""
    if key.startswith("optimizer.params.lr_factor_func."):
        return f'optimizer.params.lr_factor_func = lambda name: {value!r} if "backbone" in name else 1'
    target = _target(key.split("."))
    return f"del {target}" if value == ABSENT else f"{target} = {value!r}"


def _as_lazy_config(config: Config, source: str) -> str:
    """Return a LazyConfig with our detector, loaders, optimizer and schedule, for `lazyconfig_train_net.py`.

    Everything follows `settings`: `settings.optimizer.lr=2e-4` on its command line changes the optimizer.
    """
    settings = pprint.pformat(as_tree(_changed(config)), width=110, sort_dicts=False)
    train = config.train
    return f'''"""Converted from {source}: vclr's detector, data and optimizer for detectron2's LazyConfig tools."""

from detectron2.config import LazyCall as L
from detectron2.data import build_detection_test_loader, build_detection_train_loader, get_detection_dataset_dicts
from detectron2.evaluation import COCOEvaluator

from vclr.interop import TestMapper, TrainMapper, VclrDetector
from vclr.interop.data_sets import register_later
from vclr.interop.solver import build_optimizer_of, rate_schedule, trained_detector

{SETTINGS} = {settings}

model = L(VclrDetector)(settings="${{{SETTINGS}}}")

dataloader = dict(
    train=L(build_detection_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names=register_later({SETTINGS}, "train"), filter_empty=False),
        mapper=L(TrainMapper)(settings="${{{SETTINGS}}}"),
        total_batch_size={config.dataloader.train.total_batch_size!r},
        num_workers={config.dataloader.train.num_workers},
    ),
    test=L(build_detection_test_loader)(
        dataset=L(get_detection_dataset_dicts)(names=register_later({SETTINGS}, "test"), filter_empty=False),
        mapper=L(TestMapper)(settings="${{{SETTINGS}}}"),
        num_workers={config.dataloader.test.num_workers},
    ),
    evaluator=L(COCOEvaluator)(dataset_name="${{..test.dataset.names}}", output_dir="${{train.output_dir}}"),
)

optimizer = L(build_optimizer_of)(params=L(trained_detector)(model=None), settings="${{{SETTINGS}}}")
lr_multiplier = L(rate_schedule)(settings="${{{SETTINGS}}}")

train = dict(
    output_dir={train.output_dir!r},
    init_checkpoint={train.init_checkpoint!r},
    max_iter={train.max_iter},
    amp=dict(enabled={train.amp.enabled}),
    ddp=dict(broadcast_buffers=False, find_unused_parameters=False, fp16_compression=False),
    checkpointer=dict(period={train.checkpointer.period}, max_to_keep={train.checkpointer.max_to_keep}),
    eval_period={train.eval_period},
    log_period={train.log_period},
    device={("cuda" if train.device == "auto" else train.device)!r},
)
'''


def _changed(config: Config) -> dict[str, Any]:
    """Return the settings that differ from the defaults, by their dotted names."""
    defaults = flat_config(Config())
    return {key: value for key, value in flat_config(config).items() if value != defaults.get(key, ABSENT)}


def _note(text: str, start: str) -> str:
    return next((line.removeprefix(start).strip() for line in text.splitlines() if line.startswith(start)), "")


def _notes(text: str, start: str) -> dict[str, Any]:
    """Read the values that `_as_yaml` or `_as_reference` has kept in comments."""
    found = {}
    for line in text.splitlines():
        if line.startswith(start):
            key, _, value = line.removeprefix(start).partition(" = ")
            try:
                found[key] = json.loads(value)
            except ValueError:
                raise UserError(f"cannot be read: {line}") from None
    return found
