"""Old names of settings, which keep working in files, overrides and checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Old dotted name -> new one; the name of a section stands for all settings in it.
RENAMED: dict[str, str] = {}


def follow_renames(layer: DictConfig, source: str, renamed: Mapping[str, str] = RENAMED) -> None:
    """Move what a layer sets under an old name to the new one, with one line of notice on stderr.

    If the layer sets both names, the new one counts. If `source` is empty, no notice is printed.
    """
    for old, new in renamed.items():
        section, name = _section(layer, old)
        if section is None or name not in section:
            continue
        if source:
            print(f"{source}: the setting {old} is now called {new}; please use the new name", file=sys.stderr)
        value = section._get_node(name)  # not its value, which may refer to another setting
        del section[name]
        section, name = _section(layer, new)
        if section is None or name not in section:
            OmegaConf.update(layer, new, value)


def _section(layer: DictConfig, key: str) -> tuple[DictConfig | None, str]:
    """Return the mapping that holds a dotted key, or None without one, and the last part of the key."""
    *sections, name = key.split(".")
    node: Any = layer
    for section in sections:
        node = node._get_node(section) if isinstance(node, DictConfig) else None
    return (node if isinstance(node, DictConfig) else None), name
