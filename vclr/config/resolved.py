"""A quick reader for configurations that `dump_config` wrote: a comparison reads hundreds of them.

`load_config` merges layers, follows renames and names mistakes, which takes a tenth of a second. A file that holds
plain values of known settings needs none of that.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec
import yaml

from vclr.catalog.classes import resolve_groups
from vclr.config.checks import check_values
from vclr.config.milestones import check_milestones, resolve_milestones
from vclr.config.tree import Config
from vclr.errors import UsageError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times as fast


def read_resolved(text: str) -> Config | None:
    """Return the configuration in a text; None if anything in it needs `load_config` or an error message of it.

    A setting that the text lacks has its default.
    """
    if "${" in text:  # a value that refers to another one
        return None
    try:
        tree = yaml.load(text, Loader=LOADER)
        config = msgspec.convert(tree, Config)
        if not _is_part(tree, asdict(config)):
            return None
        check_milestones(config)
        check_values(config)
        resolve_groups(config.evaluation.groups)
        config.optimizer.milestones = [*resolve_milestones(config.optimizer.milestones, config.train.max_iter)]
    except (yaml.YAMLError, msgspec.ValidationError, UsageError, RecursionError):
        return None
    return config


def _is_part(tree: Any, whole: Any) -> bool:
    """Tell whether a tree of settings has no other keys and values than a whole configuration."""
    if isinstance(tree, dict) and isinstance(whole, dict):
        return all(key in whole and _is_part(value, whole[key]) for key, value in tree.items())
    return bool(tree == whole)
