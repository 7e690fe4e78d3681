"""How a setting is declared: once, with its default, its meaning, the allowed values and what it changes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, NamedTuple, TypeVar

# What a setting changes: the weights of a training, only its length, only its rounding, only the results of an
# evaluation, or nothing.
Changes = Literal["training", "length", "rounding", "evaluation", "nothing"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class About:
    """The facts about a setting.

    Attributes:
        meaning: one or two sentences for configs/README.md, in Markdown.
        at_least, at_most: range of the number, or of each number of a list.
        choices: the allowed values; empty if they are not listed.
        words: the texts that are allowed in place of the whole number that the setting otherwise is.
        length: number of entries of a list; None for any.
        may_be_empty: whether a list of numbers may be empty.
        may_be_infinite: whether a number may be infinite.
        changes: what the setting changes; None if its section says so.
        before: for a setting that was added later, the value of every earlier run; at this value a hash of settings
            leaves the setting out, so that earlier runs stay valid.
    """

    meaning: str = ""
    at_least: float = -math.inf
    at_most: float = math.inf
    choices: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    length: int | None = None
    may_be_empty: bool = False
    may_be_infinite: bool = False
    changes: Changes | None = None
    before: Any = None


class Setting(NamedTuple):
    """A setting with its dotted name, its value in one configuration, and what it changes."""

    key: str
    value: Any
    about: About
    changes: Changes


def setting(default: Value, meaning: str, **rules: Any) -> Value:
    """Declare a field of a dataclass that holds one setting; `rules` are the further attributes of `About`."""
    metadata = {"about": About(meaning, **rules)}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(make: Callable[[], Value], changes: Changes | None = None) -> Value:
    """Declare a field that holds a dataclass of settings; `changes` applies to those that do not say it themselves."""
    return field(default_factory=make, metadata={"about": About(changes=changes)})


def settings_of(tree: Any, prefix: str = "", changes: Changes = "training") -> Iterator[Setting]:
    """Yield every setting of a configuration or of a part of it, in the order of declaration."""
    for part in fields(tree):
        about, key, value = part.metadata["about"], f"{prefix}{part.name}", getattr(tree, part.name)
        if is_dataclass(value):
            yield from settings_of(value, f"{key}.", about.changes or changes)
        else:
            yield Setting(key, value, about, about.changes or changes)
