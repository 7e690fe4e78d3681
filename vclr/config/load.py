"""Load, override and dump configurations: defaults <- YAML file <- `key=value`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vclr.catalog.classes import resolve_groups
from vclr.config.checks import check_values
from vclr.config.tree import Config
from vclr.errors import UsageError, nearest_key
from vclr.file_names import say_nearest


def load_config(path: str | Path | None = None, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """Load the defaults, then a YAML file, then `key=value` overrides.

    A YAML file may name another beside it with `base: other.yaml`, whose settings it then changes.

    Raises:
        UsageError: a file that does not exist or is not YAML, an unknown key (names the nearest), a wrong type, a
            value that no setting of that name can have.
    """
    tree: DictConfig = OmegaConf.structured(Config)
    for layer, source in _layers(path):
        tree = _merge(tree, layer, source)
    for override in overrides:
        key, separator, _ = override.partition("=")
        if not separator or not key:
            raise UsageError(f"override {override!r}: expected key=value")
        tree = _merge(tree, _parse_override(override), "command line")
    try:
        config: Config = OmegaConf.to_object(tree)  # type: ignore[assignment]
        OmegaConf.structured(config)  # refuses a list in a list, which the merge above lets through
    except OmegaConfBaseException as error:  # also a value that refers to another one
        raise UsageError(f"{error.full_key}: {_first_line(error)}") from None
    check_values(flat_config(config))
    resolve_groups(config.evaluation.groups)
    return config


def config_from_text(text: str, source: str) -> Config:
    """Return the configuration that `dump_config` wrote, as a checkpoint holds it.

    Raises:
        UsageError: it is no mapping, an unknown key, a wrong type or value; names `source`.
    """
    try:
        layer = OmegaConf.create(text)
    except Exception as error:  # yaml's errors have no common base in omegaconf
        raise UsageError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(layer, DictConfig):
        raise UsageError(f"{source}: is not a mapping of settings")
    try:
        config: Config = OmegaConf.to_object(_merge(OmegaConf.structured(Config), layer, source))  # type: ignore
        check_values(flat_config(config))
        resolve_groups(config.evaluation.groups)
    except OmegaConfBaseException as error:
        raise UsageError(f"{source}: {error.full_key}: {_first_line(error)}") from None
    except UsageError as error:
        text = str(error)
        raise UsageError(text if text.startswith(source) else f"{source}: {text}") from None
    return config


def _layers(path: str | Path | None) -> list[tuple[DictConfig, str]]:
    """Read a YAML file and, before it, the one that it names as its base, and so on."""
    layers: list[tuple[DictConfig, str]] = []
    read: set[Path] = set()
    named_by = ""  # what errors say of a base: which file names it
    while path is not None:
        path = Path(path)
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
    """Read one YAML file; return its settings, and the name of its base."""
    try:
        layer = OmegaConf.load(path)
    except RecursionError:
        raise UsageError(
            f"{path}: not usable YAML: a value that holds itself, or lists within lists without end"
        ) from None
    except Exception as error:  # yaml's errors have no common base in omegaconf
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(layer, DictConfig):
        raise UsageError(f"{path}: is not a mapping of settings")
    base = layer.pop("base", None)
    if base is not None and not isinstance(base, str):
        raise UsageError(f"{path}: base: is not the name of a file")
    return layer, base


def _parse_override(override: str) -> DictConfig:
    try:
        layer = OmegaConf.from_dotlist([override])
        # YAML takes `{natural:1}` for one long name without a value.
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
    for key in _leaves(layer):
        if not _is_known(tree, key):
            raise UsageError(f"{source}: unknown key {key!r}; nearest: {nearest_key(key, list_keys())}")
    try:
        return OmegaConf.merge(tree, layer)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UsageError(f"{source}: {error.full_key or ', '.join(_leaves(layer))}: {_first_line(error)}") from None


def _first_line(error: OmegaConfBaseException) -> str:
    return (error.msg or str(error)).splitlines()[0]


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
        if not isinstance(node, DictConfig):
            return False
        if OmegaConf.get_type(node) is dict:
            return True  # free keys: view folders and weights, class groups
        if part not in node:
            return False
        node = node[part]
    return True


def list_keys() -> list[str]:
    """List every setting by its dotted name."""
    return _leaves(OmegaConf.structured(Config))


def dump_config(config: Config) -> str:
    """Return the whole configuration as YAML; `load_config` of it gives the same configuration."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def flat_config(config: Config) -> dict[str, Any]:
    """Return every setting by its dotted name, as plain numbers, texts, lists and (only where empty) dicts."""
    return dict(_flatten(asdict(config)))


def _flatten(tree: dict[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def config_hash(config: Config, roots: tuple[str, ...]) -> str:
    """Return a short hash of some roots of the configuration, for rules that depend on these only."""
    container = OmegaConf.to_container(OmegaConf.structured(config))
    assert isinstance(container, dict)
    text = repr([(root, container[root]) for root in roots])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
