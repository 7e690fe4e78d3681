"""Write a file of object proposals: a COCO json whose annotations have scores, and whose `info` says their origin."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vclr.catalog.proposal_methods import FREE_METHODS
from vclr.coco.annotations import OBJECT, Json, encode_mask
from vclr.files import atomic_path

START = 1 << 20  # bytes in which `read_info` looks for it


def write_proposals_file(output: Path, head: Mapping[str, Any], found: Iterable[Json]) -> None:
    """Write the json, with the proposals numbered from 1, one after another as they come.

    Args:
        output: the file; it appears whole or not at all.
        head: `info`, `images` and, of a shard, `shard`.
        found: the proposals; their `id` is replaced.
    """
    with atomic_path(output) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(json.dumps(head).removesuffix("}") + ', "annotations": [')
        for number, proposal in enumerate(found, start=1):
            text = json.dumps({"id": number, **{key: value for key, value in proposal.items() if key != "id"}})
            file.write((", " if number > 1 else "") + text)
        file.write(f'], "categories": {json.dumps([OBJECT])}}}\n')


def describe_mask(mask: np.ndarray, score: float) -> Json:
    """Return a proposal from its mask (h, w) bool, which is not empty; it lacks its image."""
    columns, rows = (np.flatnonzero(mask.any(axis=axis)).tolist() for axis in (0, 1))
    return {
        "category_id": OBJECT["id"],
        "bbox": [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1],
        "area": int(mask.sum()),
        "segmentation": encode_mask(mask),
        "score": round(score, 6),
        "iscrowd": 0,
    }


def read_info(path: Path) -> Json:
    """Return `info` of a file of proposals without reading all of it; {} if it does not begin with one."""
    with open(path, "rb") as file:
        text = file.read(START).decode("utf-8", "replace")
    found = re.match(r'\s*\{\s*(?:"shard"\s*:\s*"[^"]*"\s*,\s*)?"info"\s*:\s*(?=\{)', text)
    try:
        info = json.JSONDecoder().raw_decode(text, found.end())[0] if found else {}
    except (ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def list_licenses(info: Json) -> list[str]:
    """Return the licenses that an `info` states, and those that the files state from which it was made.

    Among them is "" if such a file, or the model of a depth view, states none. Methods that need nothing but photos
    have no license.
    """
    depth = info.get("depth")
    if isinstance(depth, dict) and isinstance(depth.get("info"), dict):
        own = list_licenses({key: value for key, value in info.items() if key != "depth"})
        return [*dict.fromkeys([*own, *list_licenses(depth["info"])])]
    sources = info["sources"] if isinstance(info.get("sources"), list) else []
    sources = [one for one in (info.get("from"), *sources) if isinstance(one, dict)]
    heads = [one["info"] if isinstance(one.get("info"), dict) else {} for one in sources]
    inner = dict.fromkeys(name for head in heads for name in list_licenses(head))
    if info.get("license"):  # it speaks for the files that state none
        return [str(info["license"]), *(name for name in inner if name not in ("", str(info["license"])))]
    return [*inner] if sources or info.get("method") in FREE_METHODS else [""]
