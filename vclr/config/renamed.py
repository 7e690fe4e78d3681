"""Old names of settings, which keep working in files, overrides and checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

log = logging.getLogger("vclr.config")

# Old dotted name -> new one; the name of a section stands for all settings in it.
RENAMED: dict[str, str] = {}


def follow_renames(layer: DictConfig, source: str, renamed: Mapping[str, str] = RENAMED) -> None:
    """Move what a layer sets under an old name to the new one, and say so in one line.

    If the layer sets both names, the new one counts. If `source` is empty, nothing is said.
    """
    for old, new in renamed.items():
        section, name = _section(layer, old)
        if section is None or name not in section:
            continue
        if source:
            log.warning("%s: the setting %s is now called %s; please use the new name", source, old, new)
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
