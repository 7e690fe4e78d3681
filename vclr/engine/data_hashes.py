"""Hashes of everything that a training reads: together with its settings they identify it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePath

from vclr.coco.file import open_coco
from vclr.config import BackboneConfig, Config, DataSetConfig, evaluates_while_training
from vclr.data.data_sets import missing_files, test_set, training_set
from vclr.engine.same_training import TEST_SET
from vclr.errors import UserError
from vclr.files import sha256
from vclr.image_folders.open import Images, each_folder, fingerprint
from vclr.model_source import cached_commit, find_folder, hash_folder
from vclr.pictures import IMAGE_SUFFIXES
from vclr.views.choice import drawn_views


def hash_training_data(config: Config) -> dict[str, str]:
    """Return the sha256 of annotations, proposals, first weights and backbone, and fingerprints of images and views.

    An image folder's is `fingerprint`, or, without a manifest, a hash of the names and sizes of the files that the
    annotations name. A backbone of the hub has its commit in the place of a hash. First weights and a backbone that are
    no longer on this machine have none. If the training evaluates, the test set has its own hashes, whose names start
    with `test_`.

    Raises:
        UserError: a file of the training set does not exist, or its annotations are not COCO json.
    """
    train = training_set(config)
    if problem := missing_files(train, "train"):
        raise UserError(problem)
    drawn = drawn_views(config.views, train)
    views = {f"view_{view}": folder for view, folder in train.views.items() if view in drawn}
    files = {"annotations": train.annotations, "proposals": train.proposals, "weights": config.train.init_checkpoint}
    hashes = _hash_all(files, {"images": train.images, **views}, train)
    if digest := _hash_backbone(config.model.backbone):
        hashes["backbone"] = digest
    if evaluates_while_training(config):
        tested = test_set(config)
        own = _hash_all({"annotations": tested.annotations}, {"images": tested.images}, tested)
        hashes |= {TEST_SET + name: digest for name, digest in own.items()}
    return hashes


def describe_inputs(config: Config, hashes: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the `source`, a path, and the `digest` of everything that a training reads, by its name in `hashes`."""
    train, test = training_set(config), test_set(config)
    sources = {
        "annotations": train.annotations,
        "images": _name_folders(train.images),
        "proposals": train.proposals,
        "weights": config.train.init_checkpoint,
        "backbone": config.model.backbone.source,
        **{f"view_{view}": _name_folders(folder) for view, folder in train.views.items()},
        f"{TEST_SET}annotations": test.annotations,
        f"{TEST_SET}images": _name_folders(test.images),
    }
    return {name: {"source": sources.get(name, ""), "digest": digest} for name, digest in hashes.items()}


def _hash_backbone(backbone: BackboneConfig) -> str:
    """Return the hash of the backbone's folder or its commit on the hub, "" if this machine has neither."""
    if not backbone.source:
        return ""
    if folder := find_folder(backbone.source):
        return hash_folder(folder)
    return cached_commit(backbone.source, backbone.revision)


def _name_folders(folder: Images) -> str:
    return ", ".join(map(str, each_folder(folder))) if folder else ""


def _hash_all(files: dict[str, str], folders: dict[str, Images], data_set: DataSetConfig) -> dict[str, str]:
    hashes = {name: sha256(path) for name, path in files.items() if path and Path(path).is_file()}
    plain = []
    for name, folder in folders.items():
        if folder and (digest := fingerprint(folder)):
            hashes[name] = digest
        elif folder and any(path.is_dir() for path in each_folder(folder)):
            plain.append(name)
    if plain:
        coco = open_coco(data_set.annotations)
        coco.check_images()
        stems = {os.path.splitext(image["file_name"])[0] for image in coco.images}
        hashes |= {name: _hash_named(each_folder(folders[name]), stems) for name in plain}
    return hashes


def _hash_named(folders: list[Path], stems: set[str]) -> str:
    """Return a hash of the names and sizes of the images below folders whose stem is in `stems`."""
    facts = []
    walks = ((folder, *found) for folder in folders for found in os.walk(folder))
    for top, root, _, names in walks:
        below = PurePath(root).relative_to(top)
        for name in names:
            stem, suffix = os.path.splitext((below / name).as_posix())
            if suffix.lower() in IMAGE_SUFFIXES and stem in stems:
                facts.append(f"{stem}{suffix} {os.path.getsize(os.path.join(root, name))}")
    return hashlib.sha256("\n".join(sorted(facts)).encode("utf-8", "surrogateescape")).hexdigest()
