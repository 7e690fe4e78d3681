"""Read a configuration of detectron2 or detrex: YAML with their keys, or a LazyConfig, with changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vclr.config import Detectron2Config
from vclr.config.detectron2_checks import list_keys_of
from vclr.detectron2_package import find_model_config
from vclr.errors import UsageError, UserError, first_line, nearest_key


def read_model_config(chosen: Detectron2Config, device: torch.device) -> Any:
    """Return the configuration of a model, for this device: detectron2's `CfgNode`, or for a LazyConfig a `DictConfig`.

    Raises:
        UserError: detectron2 is not installed, or the file cannot be read, or needs a package that is missing.
        UsageError: there is no such file, or a key or a value of `settings` is not one of it.
    """
    path = find_model_config(chosen.config)
    if path.suffix == ".py":
        return _read_lazy(path, chosen.settings, device)
    from detectron2.config import get_cfg

    content = get_cfg()
    try:
        content.merge_from_file(str(path), allow_unsafe=False)  # nothing that a YAML file names is executed
    except Exception as error:  # yaml's, yacs's and assertions
        raise UserError(f"{path}: is not a configuration of detectron2: {first_line(error)}") from None
    for key in list_keys_of(chosen.settings):
        _change(content, key, _value_of(chosen.settings, key))
    content.MODEL.DEVICE = str(device)
    return content


def is_lazy(content: Any) -> bool:
    """Tell a LazyConfig from a `CfgNode`, whose keys are capitals."""
    return "MODEL" not in content


def dump_model_config(content: Any) -> str:
    """Return a configuration as YAML, for checkpoints; "" for a LazyConfig, which is code."""
    return "" if is_lazy(content) else str(content.dump())


def restore_model_config(text: str, device: torch.device) -> Any:
    """Return the configuration that `dump_model_config` wrote."""
    from detectron2.config import CfgNode, get_cfg

    content = get_cfg()
    try:
        content.merge_from_other_cfg(CfgNode.load_cfg(text))
    except Exception as error:
        raise UserError(f"detectron2's configuration in the checkpoint does not fit: {first_line(error)}") from None
    content.MODEL.DEVICE = str(device)
    return content


def flat_model_config(content: Any, prefix: str = "") -> dict[str, Any]:
    """Return every value of a `CfgNode` by its dotted key."""
    values: dict[str, Any] = {}
    for name, value in content.items():
        is_section = hasattr(value, "items")
        values |= flat_model_config(value, f"{prefix}{name}.") if is_section else {f"{prefix}{name}": value}
    return values


def test_sizes(content: Any) -> tuple[int, int] | None:
    """Return the shorter side and the maximum of the longer one to which photos are resized; None if it says none."""
    if not is_lazy(content):
        return content.INPUT.MIN_SIZE_TEST, content.INPUT.MAX_SIZE_TEST
    mapper = "dataloader.test.mapper"  # detectron2's has `augmentations`, detrex's `augmentation`
    for step in _select(content, f"{mapper}.augmentations") or _select(content, f"{mapper}.augmentation") or ():
        sides, longest = step.get("short_edge_length"), step.get("max_size")
        if sides and longest:
            return int(sides if isinstance(sides, int) else sides[0]), int(longest)
    return None


def image_format(content: Any, network: Any) -> str:
    """Return the order of the channels that a model takes: RGB or BGR."""
    if not is_lazy(content):
        return str(content.INPUT.FORMAT)
    keys = [f"dataloader.{part}.mapper.{name}" for part in ("test", "train") for name in ("image_format", "img_format")]
    said = [getattr(network, "input_format", None), *(_select(content, key) for key in keys)]
    return str(next(filter(None, said), "BGR"))  # detectron2's default


def _read_lazy(path: Path, settings: dict[str, Any], device: torch.device) -> Any:
    from detectron2.config import LazyConfig
    from omegaconf import OmegaConf

    try:
        content = LazyConfig.load(str(path))  # executes the file
    except ImportError as error:
        raise UserError(f"{path}: needs a package that is missing: {first_line(error)}") from None
    except Exception as error:
        raise UserError(f"{path}: cannot be read: {first_line(error)}") from None
    if "model" not in content:
        raise UserError(f"{path}: has no `model`, which a LazyConfig of a detector has")
    for key in list_keys_of(settings):
        if _select(content, key) is None:
            known = [str(name) for name in content.model]
            near = nearest_key(key, [f"model.{name}" for name in known])
            raise UsageError(f"detectron2.settings.{key}: is not a key of {path}; nearest: {near}")
        OmegaConf.update(content, key, _value_of(settings, key))
    if "device" in content.model:
        content.model.device = str(device)
    return content


def _select(content: Any, key: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.select(content, key, throw_on_missing=False)


def _value_of(settings: dict[str, Any], key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = value[part]
    return value


def _change(content: Any, key: str, value: Any) -> None:
    *sections, name = key.split(".")
    node = content
    for section in sections:
        node = node.get(section) if hasattr(node, "get") else None
    if not hasattr(node, "get") or name not in node:
        near = nearest_key(key, flat_model_config(content))
        raise UsageError(f"detectron2.settings.{key}: is not a key of detectron2's configuration; nearest: {near}")
    if isinstance(node[name], float) and type(value) is int:
        value = float(value)
    try:
        content.merge_from_list([key, value])
    except (ValueError, KeyError, AssertionError) as error:
        raise UsageError(f"detectron2.settings.{key}={value}: {first_line(error)}") from None
