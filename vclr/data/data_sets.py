"""The training set and the test set of a configuration: its own files, or those of a published data set by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vclr.catalog.classes import resolve_groups
from vclr.catalog.data_sets import (
    DATA_SETS,
    KNOWN,
    PROTOCOLS,
    PUBLISHED,
    DataSet,
    find_protocol,
    find_split_file,
    split_command,
)
from vclr.config import Config, DataSetConfig
from vclr.data.origins import how_to_get
from vclr.errors import UsageError, nearest
from vclr.file_names import say_nearest
from vclr.image_folders.open import each_folder, locate


def training_set(config: Config) -> DataSetConfig:
    """Return the files of the training set: those of `data.train`, or else of the catalog."""
    check_protocols(config)
    return _resolve(config, config.data.train, config.dataloader.train.dataset.names, "train")


def test_set(config: Config) -> DataSetConfig:
    """Return the files of the test set: those of the protocol, of `data.test`, or else of the catalog."""
    check_protocols(config)
    evaluation = config.evaluation
    if evaluation.protocol in evaluation.test_sets:
        return fill_method(config, evaluation.test_sets[evaluation.protocol])
    if published := published_protocol(config):
        return _resolve(config, DataSetConfig(), published.name, "test")
    return _resolve(config, config.data.test, config.dataloader.test.dataset.names, "test")


def test_views_key(config: Config) -> str:
    """Return what names the folders of the test set's views: a setting, or for a published protocol the catalog."""
    protocol = config.evaluation.protocol
    if protocol in config.evaluation.test_sets:
        return f"evaluation.test_sets.{protocol}.views"
    return f"the catalog's entry of {protocol}" if published_protocol(config) else "data.test.views"


def known_test_set(config: Config) -> DataSet | None:
    """Return the test set as the catalog has it, with the annotations that are evaluated; None for other test sets."""
    evaluation = config.evaluation
    if published := published_protocol(config):
        return _with_chosen_files(published, config)
    if evaluation.protocol in evaluation.test_sets or config.data.test.annotations:
        return None
    known = DATA_SETS.get(config.dataloader.test.dataset.names)
    return known and _with_chosen_files(known, config)


def _with_chosen_files(known: DataSet, config: Config) -> DataSet:
    return known.as_published() if config.evaluation.files == PUBLISHED else known


def published_protocol(config: Config) -> DataSet | None:
    """Return the catalog's test set of `evaluation.protocol`; None for a group, or a test set of the user's own."""
    evaluation = config.evaluation
    if evaluation.protocol in evaluation.groups or evaluation.protocol in evaluation.test_sets:
        return None
    return find_protocol(evaluation.protocol, known_training_set(config))


def known_training_set(config: Config) -> str:
    """Return the name of the catalog's training set that is trained on; "" for files of the user's own."""
    return "" if config.data.train.annotations else config.dataloader.train.dataset.names


def protocol_name(config: Config) -> str:
    """Return `evaluation.protocol`, in which `KNOWN` stands for the protocol of the training set's classes."""
    published = published_protocol(config)
    return published.protocol if published else config.evaluation.protocol


def may_have_masks(config: Config) -> bool:
    """Tell whether masks are evaluated if the test set has some: not if the protocol or the training is of boxes."""
    known = known_test_set(config)
    return config.dataloader.train.mapper.mask_on and (known is None or known.has_masks)


def fill_method(config: Config, own: DataSetConfig) -> DataSetConfig:
    """Return a data set in which `proposals.method` stands for the `{method}` in the path of its proposals."""
    return replace(own, proposals=own.proposals.replace("{method}", config.proposals.method))


def evaluated_groups(config: Config) -> dict[str, list[str]]:
    """Return the classes of each group that is evaluated apart; a published protocol is one group already."""
    return {} if published_protocol(config) else resolve_groups(config.evaluation.groups)


def with_protocol(config: Config, protocol: str) -> Config:
    """Return the configuration with another `evaluation.protocol`; "" leaves it as it is."""
    if not protocol:
        return config
    return replace(config, evaluation=replace(config.evaluation, protocol=protocol))


def check_protocols(config: Config) -> None:
    """Check the protocols, groups and test sets of `evaluation`.

    Raises:
        UsageError: an unknown or repeated protocol, or a test set of the user's own without files or with an odd name.
    """
    evaluation = config.evaluation
    for name, own in evaluation.test_sets.items():
        if not re.fullmatch(r"[\w-]+", name):
            raise UsageError(f"evaluation.test_sets.{name}: a name is made of letters, digits, _ and -")
        if name in evaluation.groups:
            raise UsageError(f"evaluation.test_sets.{name}: evaluation.groups has a group of this name; rename one")
        for key in ("annotations", "images"):
            if not getattr(own, key):
                raise UsageError(f"evaluation.test_sets.{name}.{key}: is not set")
    named = [*evaluation.groups, *evaluation.test_sets]
    known = [*named, *PROTOCOLS, KNOWN]
    for protocol in (evaluation.protocol, *evaluation.protocols):
        key = "protocol" if protocol == evaluation.protocol else "protocols"
        if protocol and protocol not in known:
            raise UsageError(f"evaluation.{key}={protocol}: unknown protocol; nearest: {nearest(protocol, known)}")
        if protocol == KNOWN and KNOWN not in named and not find_protocol(KNOWN, known_training_set(config)):
            raise UsageError(
                f"evaluation.{key}={KNOWN}: the catalog does not know the classes of this training set; name "
                f"{', '.join(name for name in PROTOCOLS if name.startswith(KNOWN))}, or set evaluation.groups.{KNOWN}"
            )
    for protocol in evaluation.protocols:
        if not re.fullmatch(r"[\w-]+", protocol):  # it names a folder of results
            raise UsageError(f"evaluation.protocols: {protocol!r}: a name is made of letters, digits, _ and -")
        if evaluation.protocols.count(protocol) > 1:
            raise UsageError(f"evaluation.protocols: names {protocol} twice")


def _resolve(config: Config, own: DataSetConfig, name: str, part: str) -> DataSetConfig:
    """Complete the user's own files with those of a published data set if they name no annotations."""
    own = fill_method(config, own)
    if own.annotations:
        return replace(own, views=_named(own.views))
    if name not in DATA_SETS:
        raise UsageError(
            f"dataloader.{part}.dataset.names={name}: not in the catalog; nearest: {nearest(name, DATA_SETS)}"
        )
    known, root = DATA_SETS[name], Path(config.data.root)
    if part == "test":
        known = _with_chosen_files(known, config)
    return replace(
        own,
        annotations=str(root / known.annotations),
        images=own.images or _photos(known, root),
        views=_named({view: str(root / folder) for view, folder in known.view_folders.items()} | own.views),
    )


def _named(views: dict[str, str]) -> dict[str, str]:
    """Return the views that have a folder; an empty name takes a view of the catalog or of a YAML file away."""
    return {view: folder for view, folder in views.items() if folder}


def _photos(known: DataSet, root: Path) -> str | list[str]:
    """Return the folders of the photos of a published set: the linked one if it exists."""
    if known.linked and locate(root / known.linked):
        return str(root / known.linked)
    folders = [str(root / folder) for folder in known.images]
    return folders if len(folders) > 1 else folders[0]


def missing_files(data_set: DataSetConfig, part: str) -> str | None:
    """Say in one line which file or folder of a data set is missing and which setting names it; None if none is."""
    return next(list_missing_files(data_set, part), None)


def list_missing_files(data_set: DataSetConfig, part: str) -> Iterator[str]:
    """Say the same for each file or folder that does not exist."""
    named = [("annotations", data_set.annotations)]
    named += [("images", str(folder)) for folder in each_folder(data_set.images) if data_set.images]
    if part == "train":
        named.append(("proposals", data_set.proposals))
    for key, path in named:
        if path and not Path(path).exists() and (key != "images" or locate(path) is None):
            yield f"data.{part}.{key}={path}: does not exist{_how_to_make(path) or say_nearest(path)}"
    if not data_set.images:
        yield f"data.{part}.images: is not set, and data.{part}.annotations also replaces the catalog's photos"


def _how_to_make(path: str) -> str:
    """Say which commands make a missing file, if its name shows that."""
    command, made = split_command(path), find_split_file(path)
    if not command or made is None:
        return ""
    source, target = Path(path).parent.parent / made.json, Path(path).as_posix()
    get = "" if source.is_file() else how_to_get(source)
    first = f"{source} does not exist: {get}, then " if get else ""
    downloads = f" (or `snakemake {target} --cores 1`, downloads included)" if target.startswith("data/") else ""
    return f"; {first}make it with `{command}`{downloads}"
