"""Settings of ours as detectron2's configurations hold them: a nested mapping, or the name of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vclr.config import Config, config_from_text, load_config

Settings = Config | Mapping[str, Any] | str


def read_settings(settings: Settings) -> Config:
    """Return a configuration: itself, a file's, or the defaults with the values of a nested mapping.

    Raises:
        UsageError: as of `load_config`.
    """
    if isinstance(settings, Config):
        return settings
    if isinstance(settings, str):
        return load_config(settings or None)
    tree = settings if isinstance(settings, DictConfig) else OmegaConf.create(dict(settings))
    return config_from_text(OmegaConf.to_yaml(tree, resolve=True), "settings")
