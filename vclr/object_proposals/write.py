"""Write object proposals for photos as a COCO json, each annotation with a `score`.

The method NAME of `vclr.catalog.proposal_methods.PROPOSAL_METHODS` is the function `propose_objects` of the module
`vclr/object_proposals/NAME.py`:

    propose_objects(image, max_proposals) -> masks, scores

`image` is (h, w, 3) uint8 RGB; `masks` are (n, h, w) bool, with n at most `max_proposals`; `scores` are (n,) float64,
best first. Empty masks are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path

import numpy as np

from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.coco.annotations import OBJECT, Json, encode_mask, load_coco
from vclr.errors import UsageError, UserError, nearest
from vclr.files import atomic_path
from vclr.image_folders.open import open_folder
from vclr.image_folders.walk import Photos, Result, hash_module, walk_photos
from vclr.shards import WHOLE, Shard, order_parts

MAX_PROPOSALS = 30  # per photo


def write_proposals(
    method: str,
    images: Path,
    output: Path,
    annotations: Path | None = None,
    quiet: bool = False,
    shard: Shard | None = None,
) -> Path:
    """Propose objects in photos.

    Args:
        method: one of `PROPOSAL_METHODS`.
        images: folder of photos, or its zip.
        output: the json to write; it appears whole or not at all.
        annotations: COCO json that lists the photos and their ids; without it, all of the folder, numbered from 1.
        quiet: show no progress.
        shard: propose objects in these photos alone, for `join_proposals`.

    Returns:
        `output`.

    Raises:
        UsageError: there is no such method.
        UserError: there are no photos, or all of them are missing, are not images, or differ in size from
            `annotations`. If only some are, they are left out and listed in `info.failed`.
    """
    if method not in PROPOSAL_METHODS:
        near = nearest(method, PROPOSAL_METHODS)
        raise UsageError(f"unknown method {method!r}; nearest: {near} (methods: {', '.join(PROPOSAL_METHODS)})")
    module = import_module(f"vclr.object_proposals.{method}")
    listed = (shard or WHOLE).of(_list_photos(Path(images), annotations))
    photos = Photos(open_folder(images))
    items = [{key: entry[key] for key in ("file_name", "height", "width") if key in entry} for entry in listed]

    def read(item: Json) -> np.ndarray:
        image = photos.open(item["file_name"])
        height, width = image.shape[:2]
        if (item.get("height", height), item.get("width", width)) != (height, width):
            path, size = photos.folder.path_of(item["file_name"]), f"{item['width']}x{item['height']}"
            raise UserError(f"{path}: is {width}x{height}, {annotations} says {size}")
        return image

    def propose(items: list[Json], images: list[np.ndarray]) -> list[Result]:
        results: list[Result] = []
        for image in images:
            masks, scores = module.propose_objects(image, MAX_PROPOSALS)
            found = [_annotation(mask, float(score)) for mask, score in zip(masks, scores, strict=True) if mask.any()]
            results.append(({"height": image.shape[0], "width": image.shape[1], "annotations": found}, []))
        return results

    settings = {"method": method, "max_proposals": MAX_PROPOSALS, "code": hash_module(module)}
    with walk_photos(Path(output), settings, items, photos) as walk:
        walk.finish(read, propose, "object proposals", quiet)
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
        facts: Json = {"info": {"failed": failed}} if failed else {}
        _write_coco(output, entries, found, {"shard": str(shard), **facts} if shard else facts)
    return Path(output)


def join_proposals(parts: Sequence[Path], output: Path) -> Path:
    """Join the files of all shards to the json that `write_proposals` would have written without shards.

    Raises:
        UserError: a file was not written by a shard, or a shard is missing.
    """
    jsons = {Path(part): load_coco(part) for part in parts}
    ordered = [jsons[part] for part in order_parts((part, jsons[part].get("shard")) for part in map(Path, parts))]
    found = chain.from_iterable(coco["annotations"] for coco in ordered)
    failed = {name: says for coco in ordered for name, says in coco.get("info", {}).get("failed", {}).items()}
    facts = {"info": {"failed": failed}} if failed else {}
    _write_coco(output, [image for coco in ordered for image in coco["images"]], found, facts)
    return Path(output)


def _list_photos(images: Path, annotations: Path | None) -> list[Json]:
    """Return the entries of the photos, from a json or else from their folder."""
    if annotations is not None:
        listed: list[Json] = load_coco(annotations, images)["images"]
        return listed
    return [{"id": number, "file_name": name} for number, name in enumerate(open_folder(images).image_names(), 1)]


def _write_coco(output: Path, entries: list[Json], found: Iterable[Json], facts: Json) -> None:
    """Write the json of proposals, numbered from 1, one after another as they come."""
    with atomic_path(output) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(json.dumps({**facts, "images": entries}).removesuffix("}") + ', "annotations": [')
        for number, annotation in enumerate(found, start=1):
            text = json.dumps({"id": number, **{key: value for key, value in annotation.items() if key != "id"}})
            file.write((", " if number > 1 else "") + text)
        file.write(f'], "categories": {json.dumps([OBJECT])}}}\n')


def _annotation(mask: np.ndarray, score: float) -> Json:
    columns, rows = (np.flatnonzero(mask.any(axis=axis)).tolist() for axis in (0, 1))
    return {
        "category_id": OBJECT["id"],
        "bbox": [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1],
        "area": int(mask.sum()),
        "segmentation": encode_mask(mask),
        "score": round(score, 6),
        "iscrowd": 0,
    }
