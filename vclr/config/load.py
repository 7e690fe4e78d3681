"""Load, override and dump configurations: defaults <- YAML file <- `key=value`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vclr.catalog.classes import resolve_groups
from vclr.config.checks import check_values
from vclr.config.milestones import check_milestones, check_milestones_are_reached, resolve_milestones
from vclr.config.overridden import check_overrides
from vclr.config.renamed import follow_renames
from vclr.config.resolved import read_resolved
from vclr.config.setting import settings_of
from vclr.config.shipped import find_settings
from vclr.config.tree import Config, is_as_before
from vclr.errors import UsageError, first_line, nearest_key
from vclr.file_names import say_nearest

MAPPINGS = [setting.key for setting in settings_of(Config()) if isinstance(setting.value, dict)]  # of free names


def load_config(path: str | Path | None = None, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """Load the defaults, then a YAML file, then `key=value` overrides.

    A YAML file may name another one beside it with `base: other.yaml`, and then changes the settings of that one. A
    mapping of free names adds to the one before it; an empty one (`data.train.views={}`) replaces it. The package's own
    files are found under `configs/` in every folder.

    Raises:
        UsageError: a file does not exist or is not YAML, or a key is unknown (the error names the nearest), or a value
            has a wrong type, is not allowed, or has no effect, or a milestone of the learning rate would never come.
    """
    tree: DictConfig = OmegaConf.structured(Config)
    for layer, source in _layers(path):
        tree = _merge(tree, layer, source)
    return _override(tree, overrides)


def override_config(config: Config, overrides: Sequence[str]) -> Config:
    """Return a configuration with `key=value` overrides on top of its values.

    Raises:
        UsageError: as of `load_config`.
    """
    return _override(OmegaConf.structured(config), overrides)


def _override(tree: DictConfig, overrides: Sequence[str]) -> Config:
    """Return the checked configuration of a tree, with overrides."""
    keys = []
    for override in overrides:
        key, separator, _ = override.partition("=")
        if not separator or not key:
            raise UsageError(f"override {override!r}: expected key=value")
        tree = _merge(tree, _parse_override(override), "command line")
        keys.append(key)
    config = _as_config(tree)
    check_overrides(config, keys)
    check_milestones_are_reached(config)
    return config


def config_from_text(text: str, source: str) -> Config:
    """Return the configuration that `dump_config` wrote, as checkpoints and run folders hold it.

    A milestone of the learning rate may lie beyond the end, as it could in earlier versions.

    Raises:
        UsageError: as of `load_config`; names `source`.
    """
    if (quickly := read_resolved(text)) is not None:
        return quickly
    layer = _read_yaml(lambda: OmegaConf.create(text), source)
    follow_renames(layer, source="")  # without a notice, because nobody typed it
    try:
        return _as_config(_merge(OmegaConf.structured(Config), layer, source))
    except UsageError as error:
        text = str(error)
        raise UsageError(text if text.startswith(source) else f"{source}: {text}") from None


def read_config(path: Path) -> Config:
    """Return the configuration in the config.yaml of a run or a job.

    Raises:
        UsageError: as of `load_config`; names the file.
    """
    return config_from_text(path.read_text(encoding="utf-8", errors="replace"), str(path))


def _as_config(tree: DictConfig) -> Config:
    """Return a loaded tree as dataclasses, with every value checked and milestones as iterations."""
    try:
        config: Config = OmegaConf.to_object(tree)  # type: ignore[assignment]
        check_milestones(config)  # before the next line, which names no key of a list of several types
        OmegaConf.structured(config)  # refuses a list in a list, which a merge lets through
    except OmegaConfBaseException as error:  # also a value that refers to another one
        raise UsageError(f"{error.full_key}: {first_line(error)}") from None
    check_values(config)
    resolve_groups(config.evaluation.groups)
    config.optimizer.milestones = [*resolve_milestones(config.optimizer.milestones, config.train.max_iter)]
    return config


def _layers(name: str | Path | None) -> list[tuple[DictConfig, str]]:
    """Read a YAML file and, before it, the file that it names as its base, and so on."""
    layers: list[tuple[DictConfig, str]] = []
    read: set[Path] = set()
    named_by = ""  # names the file whose base is read, for errors
    path = None if name is None else find_settings(Path(name))
    while path is not None:
        if not path.is_file():
            problem = "is a folder, not a YAML file" if path.is_dir() else f"does not exist{say_nearest(path)}"
            raise UsageError(f"{named_by}{path}: {problem}")
        if path.resolve() in read:
            raise UsageError(f"{named_by}{path}: is its own base")
        read.add(path.resolve())
        layer, base = _read_layer(path)
        layers.insert(0, (layer, str(path)))
        named_by = f"{path}: base: "
        path = path.parent / base if base else None
    return layers


def _read_layer(path: Path) -> tuple[DictConfig, str | None]:
    """Read one YAML file; return its settings and the name of its base."""
    layer = _read_yaml(lambda: OmegaConf.load(path), str(path))
    base = layer.pop("base", None)
    if base is not None and not isinstance(base, str):
        raise UsageError(f"{path}: base: is not the name of a file")
    return layer, base


def _read_yaml(read: Callable[[], Any], source: str) -> DictConfig:
    try:
        layer = read()
    except RecursionError:
        problem = "a value that holds itself, or endless lists within lists"
        raise UsageError(f"{source}: not usable YAML: {problem}") from None
    except Exception as error:  # omegaconf raises YAML errors without a common base
        raise UsageError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(layer, DictConfig):
        raise UsageError(f"{source}: is not a mapping of settings")
    return layer


def _parse_override(override: str) -> DictConfig:
    if override.endswith("=") and override.count("=") == 1:
        override += "''"  # the empty text, as in the reference; YAML reads null
    try:
        layer = OmegaConf.from_dotlist([override])
        # YAML reads `{natural:1}` as one long name without a value.
        for key in _leaves(layer):
            name, colon, value = key.rpartition(".")[2].partition(":")
            if colon and value and OmegaConf.select(layer, key) is None:
                setting = override.partition("=")[0]
                raise UsageError(f"{override}: YAML needs a space after the colon: {setting}='{{{name}: {value}}}'")
        return layer
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"override {override!r}: {' '.join(str(error).split())}") from None


def _merge(tree: DictConfig, layer: DictConfig, source: str) -> DictConfig:
    follow_renames(layer, source)
    for key in _leaves(layer):
        if not _is_known(tree, key):
            raise UsageError(f"{source}: unknown key {key!r}; nearest: {nearest_key(key, list_keys())}")
    for key in _too_large(OmegaConf.to_container(layer)):
        raise UsageError(f"{source}: {key}: the number is too large")
    try:
        merged: DictConfig = OmegaConf.merge(tree, layer)  # type: ignore[assignment]
        for mapping in MAPPINGS:
            if OmegaConf.select(layer, mapping) == {}:
                OmegaConf.update(merged, mapping, {}, merge=False)
        return merged
    except OmegaConfBaseException as error:
        raise UsageError(f"{source}: {error.full_key or ', '.join(_leaves(layer))}: {first_line(error)}") from None


def _too_large(value: Any, key: str = "") -> Iterator[str]:
    """Yield the keys of whole numbers that no float can be. OmegaConf does not name them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _too_large(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        yield from chain.from_iterable(_too_large(inner, key) for inner in value)
    elif isinstance(value, int) and abs(value) > sys.float_info.max:
        yield key


def _leaves(node: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key in map(str, node):
        value = node._get_node(key)
        name = f"{prefix}{key}"
        keys += _leaves(value, f"{name}.") if isinstance(value, DictConfig) and len(value) else [name]
    return keys


def _is_known(tree: DictConfig, key: str) -> bool:
    node: Any = tree
    for part in key.split("."):
        if OmegaConf.get_type(node) is dict:
            return True  # free keys: view folders and weights, class groups
        if not isinstance(node, DictConfig) or part not in node:
            return False
        node = node[part]
    return True


def list_keys() -> list[str]:
    """List every setting by its dotted name."""
    return [setting.key for setting in settings_of(Config())]


def dump_config(config: Config) -> str:
    """Return the whole configuration as YAML; `load_config` of it gives the same configuration."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def flat_config(config: Config) -> dict[str, Any]:
    """Return every setting by its dotted name, as plain numbers, texts, lists and empty dicts."""
    return dict(_flatten(asdict(config)))


def differing_values(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the settings that differ between flat configurations, each with its value in every configuration.

    The value is None if a configuration lacks the setting, such as a view or a group of classes.
    """
    values = {key: [one.get(key) for one in settings] for key in dict.fromkeys(chain(*settings))}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def _flatten(tree: dict[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _remove(tree: dict[str, Any], path: Sequence[str]) -> None:
    """Remove a setting, and the sections around it that are empty then."""
    name, *rest = path
    if rest:
        _remove(tree[name], rest)
    if not rest or not tree[name]:
        del tree[name]


def config_hash(config: Config, roots: tuple[str, ...]) -> str:
    """Return a short hash of some roots of the configuration, for rules that depend only on these."""
    container = asdict(config)
    for key, value in flat_config(config).items():
        if is_as_before(key, value):
            _remove(container, key.split("."))
    text = repr([(root, container[root]) for root in roots])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
