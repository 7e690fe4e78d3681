"""Propose objects in the photos of a folder, with one of the methods.

The `info` of the json says how they were made: method, source and license, the facts of the model, and the photos that
failed, which are not in `images`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from itertools import chain
from pathlib import Path

import numpy as np

from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.coco.annotations import Json, load_coco, open_checked
from vclr.errors import UsageError, UserError, nearest
from vclr.image_folders.open import open_folder
from vclr.image_folders.walk import Photos, Result, hash_module, walk_photos, without_licenses
from vclr.object_proposals.options import MethodOptions, Proposer
from vclr.object_proposals.proposals_file import describe_mask, write_proposals_file
from vclr.shards import WHOLE, Shard, order_parts

OpenProposer = Callable[[MethodOptions], Proposer]
NO_OPTIONS = MethodOptions()
FAILED, LICENSE = "failed", "license"  # keys of `info`


def write_proposals(
    method: str,
    images: Path,
    output: Path,
    annotations: Path | None = None,
    quiet: bool = False,
    shard: Shard | None = None,
    options: MethodOptions = NO_OPTIONS,
    open_proposer: OpenProposer | None = None,
    keep_work: bool = False,
) -> Path:
    """Propose objects in photos.

    Args:
        method: one of `PROPOSAL_METHODS`.
        images: folder of photos, or its zip.
        output: the json to write; it appears whole or not at all.
        annotations: COCO json that lists the photos and their ids; without it, all of the folder, numbered from 1.
        quiet: show no progress.
        shard: propose objects in these photos alone, for `join_proposals`.
        options: of the method.
        open_proposer: opens a method whose module is in another room; by default that of the method's own module.
        keep_work: keep the work folder, so that the same call verifies what is finished instead of computing it again.

    Returns:
        `output`.

    Raises:
        UsageError: there is no such method, it needs an option that is not given, or it does not use one that is.
        UserError: there are no photos, or all of them are missing, are not images, or differ in size from
            `annotations`. If only some are, they are left out and listed in `info.failed`.
    """
    check_options(method, options)
    listed = (shard or WHOLE).of(_list_photos(Path(images), annotations))
    photos = Photos(open_folder(images))
    items = [{key: entry[key] for key in ("file_name", "height", "width") if key in entry} for entry in listed]
    open_method = open_proposer or import_module(f"vclr.object_proposals.{method}").open_proposer
    proposer = open_method(options)

    def read(item: Json) -> np.ndarray:
        image = photos.open(item["file_name"])
        height, width = image.shape[:2]
        if (item.get("height", height), item.get("width", width)) != (height, width):
            path, size = photos.folder.path_of(item["file_name"]), f"{item['width']}x{item['height']}"
            raise UserError(f"{path}: is {width}x{height}, {annotations} says {size}")
        return image

    def propose(items: list[Json], images: list[np.ndarray]) -> list[Result]:
        found = proposer.propose(images, [item["file_name"] for item in items])
        return [
            (_as_result(image, masks, scores, options.min_score), [])
            for image, (masks, scores) in zip(images, found, strict=True)
        ]

    settings = _settings(method, options, proposer, open_method)
    with walk_photos(Path(output), settings, items, photos, keep_work) as walk:
        walk.finish(read, propose, "object proposals", quiet, proposer.batch_size)
        failed = {item["file_name"]: says for item, says in walk.failed}
        kept = [entry for entry in listed if entry["file_name"] not in failed]
        sizes = [{side: entry["result"][side] for side in ("height", "width")} for entry in walk.entries()]
        entries = [
            {"id": entry["id"], "file_name": entry["file_name"], **size}
            for entry, size in zip(kept, sizes, strict=True)
        ]
        found = (
            {"image_id": image["id"], **annotation}
            for image, entry in zip(entries, walk.entries(), strict=True)
            for annotation in entry["result"]["annotations"]
        )
        info = describe_method(method, options, proposer.facts) | ({FAILED: failed} if failed else {})
        head = {**({"shard": str(shard)} if shard else {}), "info": info, "images": entries}
        write_proposals_file(output, head, found)
    return Path(output)


def check_options(method: str, options: MethodOptions) -> None:
    """Check that there is a method, and that it has the options that it needs and no others.

    Raises:
        UsageError: names the method or the option.
    """
    if method not in PROPOSAL_METHODS:
        near = nearest(method, PROPOSAL_METHODS)
        raise UsageError(f"unknown method {method!r}; nearest: {near} (methods: {', '.join(PROPOSAL_METHODS)})")
    chosen = PROPOSAL_METHODS[method]
    for name, value in asdict(options).items():
        option = f"--{name.replace('_', '-')}"
        if name in chosen.needs and not value:
            raise UsageError(f"--method {method}: needs {option}")
        is_used = name in ("max_proposals", "min_score", *chosen.uses)
        if value != getattr(NO_OPTIONS, name) and not is_used:
            raise UsageError(f"--method {method}: does not use {option}; leave it out")


def describe_method(method: str, options: MethodOptions, facts: Json) -> Json:
    """Return `info` of the json."""
    own: Json = {"method": method, "source": f"vclr proposals --method {method}"}
    own |= {"max_proposals": options.max_proposals, "min_score": options.min_score}
    return {**own, **facts}


def join_proposals(parts: Sequence[Path], output: Path) -> Path:
    """Join the files of all shards to the json that `write_proposals` would have written without shards.

    Raises:
        UserError: a file was not written by a shard, a shard is missing, or they were made in different ways.
    """
    opened = {Path(part): open_checked(part) for part in parts}
    ordered = order_parts((part, opened[part].head.get("shard")) for part in map(Path, parts))
    infos = [dict(opened[part].head.get("info") or {}) for part in ordered]
    failed = {name: says for info in infos for name, says in info.pop(FAILED, {}).items()}
    first = next((info for info in infos if LICENSE in info), infos[0])
    for part, info in zip(ordered, infos, strict=True):
        if without_licenses(info) != without_licenses(first):
            says = f"was made in another way than {ordered[0]} (their `info` differs)"
            raise UserError(f"{part}: {says}; make one of them again")
    images = [image for part in ordered for image in opened[part].images]
    found = chain.from_iterable(opened[part].read_annotations() for part in ordered)
    write_proposals_file(output, {"info": first | ({FAILED: failed} if failed else {}), "images": images}, found)
    return Path(output)


def _settings(method: str, options: MethodOptions, proposer: Proposer, open_method: OpenProposer) -> Json:
    """Return everything besides the photos that the proposals depend on."""
    given = {name: str(value) for name, value in asdict(options).items() if name not in ("device", "batch_size")}
    code = [hash_module(import_module(name)) for name in (open_method.__module__, __name__)]
    return {"method": method, **given, "facts": without_licenses(proposer.facts), "code": code}


def _list_photos(images: Path, annotations: Path | None) -> list[Json]:
    """Return the entries of the photos, from a json or else from their folder."""
    if annotations is not None:
        listed: list[Json] = load_coco(annotations, images)["images"]
        return listed
    return [{"id": number, "file_name": name} for number, name in enumerate(open_folder(images).image_names(), 1)]


def _as_result(image: np.ndarray, masks: np.ndarray, scores: np.ndarray, min_score: float | None) -> Json:
    found = [
        describe_mask(mask, float(score))
        for mask, score in zip(masks, scores, strict=True)
        if (min_score is None or score >= min_score) and mask.any()
    ]
    return {"height": image.shape[0], "width": image.shape[1], "annotations": found}
