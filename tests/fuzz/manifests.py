"""Manifests, license.yaml, catalogs and data.lock: what commands believe of folders and sources."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.fuzz.judge import Trial
from tests.fuzz.loading import load_training
from tests.fuzz.odd import ODD, SECRET, alter_json, damage_text, list_places, put
from tests.fuzz.sound import write_json

DIGEST = "0" * 64
LICENCE = {"name": "CC BY 4.0", "commercial": True, "because": "it says so", "url": "http://example.org"}


def make(number: int, folder: Path) -> list[Trial]:
    """Write one of these files odd or damaged, and return the command that reads it."""
    chance = random.Random(f"manifest {number}")
    return KINDS[number % len(KINDS)](folder, chance)


def _write(
    path: Path, content: Any, chance: random.Random, folder: Path, dump: Callable[[Any], str] = json.dumps
) -> None:
    if chance.random() < 0.2:
        data = damage_text(dump(content).encode(), chance)
    else:
        is_one = chance.random() < 0.6
        content = (
            put(content, chance.choice(list_places(content)), chance.choice(ODD))
            if is_one
            else alter_json(content, chance)
        )
        try:
            text = dump(content)
        except Exception:  # YAML does not know it
            text = json.dumps(content)
        data = text.replace(SECRET, str(folder / "beside/secret.png")).encode("utf-8", "surrogatepass")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _manifest() -> dict[str, Any]:
    entries = {name: {"bytes": 3, "sha256": DIGEST} for name in ("a.png", "sub/b.jpg")}
    unpacked = {"folder": "raw/own/images", "num_files": 2, "bytes": 6, "files": entries}
    download = {"url": "http://example.org/images.zip", "bytes": 9, "sha256": DIGEST, "fetched": "2026-01-01"}
    facts = {"source": "own", "folder": "raw/own", "title": "Own", "homepage": "http://example.org", "licence": LICENCE}
    return {
        **facts,
        "files": {"raw/own/images.zip": {**download, "unpacked": unpacked}, "raw/own/a.json": dict(download)},
        "folders": {"raw/own/more": {"num_files": 2, "bytes": 6, "files": entries}},
        "counts": {"raw/own/a.json": {"images": 3}},
    }


def _catalog() -> dict[str, Any]:
    files = [
        {"path": "raw/own/images.zip", "urls": ["http://127.0.0.1:9/images.zip"], "bytes": 9, "unpack": "raw/own",
         "yields": {"raw/own/images": 2}, "sha256": DIGEST},
        {"path": "raw/own/a.json", "urls": ["http://127.0.0.1:9/a.json"], "bytes": 9},
    ]  # fmt: skip
    own = {"title": "Own", "homepage": "http://example.org", "license": dict(LICENCE), "files": files}
    return {
        "own": own,
        "other": {**own, "files": [], "manual": {"text": "Put it there.", "folders": {"raw/other/x": 2}}},
    }


def _fetched(folder: Path, chance: random.Random) -> list[Trial]:
    """`vclr fetch` reads the manifest that it wrote."""
    (folder / "catalog.yaml").write_text(yaml.safe_dump(_catalog()))
    _write(folder / "data/raw/own/manifest.json", _manifest(), chance, folder)
    return [Trial(_fetch(folder, "own"), ("manifest.json",))]


def _fetch(folder: Path, *names: str) -> list[str]:
    return ["fetch", *names, "--catalog", str(folder / "catalog.yaml"), "--output", str(folder / "data"), "--dry-run"]


def _cataloged(folder: Path, chance: random.Random) -> list[Trial]:
    _write(folder / "catalog.yaml", _catalog(), chance, folder, yaml.safe_dump)
    return [Trial(_fetch(folder, "coco2017/annotations"), ("catalog.yaml", "catalog"))]


def _locked(folder: Path, chance: random.Random) -> list[Trial]:
    (folder / "catalog.yaml").write_text(yaml.safe_dump(_catalog()))
    entry = {"bytes": 9, "sha256": DIGEST, "since": "2026-01-01", "url": "http://127.0.0.1:9/a.json"}
    listing = {"commit": "abc", "since": "2026-01-01", "files": {"a.json": {"bytes": 9, "sha256": DIGEST}}}
    lock = {"files": {"raw/own/a.json": entry}, "listings": {"somebody/own": listing}}
    _write(folder / "data.lock", lock, chance, folder)
    return [Trial(_fetch(folder, "own"), ("data.lock",))]


def _beside_photos(folder: Path, chance: random.Random) -> list[Trial]:
    """A training's identity holds the manifest of its photos, or the one beside them."""
    place = chance.choice(["images/manifest.json", "manifest.json"])
    content = _manifest()
    content["folder"] = str(folder)
    _write(folder / place, content, chance, folder)
    return [Trial(load_training(folder, folder / "sound.json"), ("manifest.json",))]


def _declared(folder: Path, chance: random.Random) -> list[Trial]:
    _write(folder / "images/license.yaml", dict(LICENCE), chance, folder, yaml.safe_dump)
    data = [f"data.{part}.{key}" for part in ("train", "test") for key in ("annotations", "images")]
    paths = [folder / "sound.json", folder / "images"] * 2
    arguments = [f"{key}={path}" for key, path in zip(data, paths, strict=True)]
    return [Trial(["licenses", "--config-file", str(folder / "tiny.yaml"), *arguments], ("license.yaml",))]


def _joined_views(folder: Path, chance: random.Random) -> list[Trial]:
    """Two shards of a view become one; the manifest of one of them is hostile."""
    part, out = folder / "parts/1of1", folder / "out"
    part.mkdir(parents=True)
    (part / "a.png").write_bytes(b"abc")
    files = {"a.png": {"bytes": 3, "sha256": DIGEST}}
    facts = {"view": "edge", "seed": 0, "shard": "1/1", "num_photos": 1, "sources": {"a.png": DIGEST}}
    _write(part / "manifest.json", {**facts, "num_files": 1, "files": files}, chance, folder)
    arguments = ["views", "--join", str(part), "--output", str(out / "view")]
    return [Trial(arguments, ("1of1",), (out,), lambda _: _check_names(out / "view"))]


def _check_names(folder: Path) -> None:
    assert (folder / "manifest.json").is_file()


def _joined_proposals(folder: Path, chance: random.Random) -> list[Trial]:
    part, out = folder / "parts/1of1.json", folder / "out"
    content = json.loads((folder / "proposals.json").read_text())
    _write(part, {**content, "shard": "1/1"}, chance, folder)
    return [Trial(["proposals", "--join", str(part), "--output", str(out / "p.json")], ("1of1.json",), (out,))]


def _packed(folder: Path, chance: random.Random) -> list[Trial]:
    """`vclr pack` compares the files with their manifest."""
    files = {name: {"bytes": 3, "sha256": DIGEST} for name in ("a.png", "sub/b.jpg", "c.png")}
    _write(folder / "images/manifest.json", {"num_files": 3, "files": files}, chance, folder)
    names = ("manifest.json", "images")
    return [Trial(["pack", str(folder / "images"), "--quiet"], names, (folder / "images.zip",))]


def _recorded(folder: Path, chance: random.Random) -> list[Trial]:
    """`vclr licenses` reads the record beside a split."""
    split = write_json(folder / "split.json", json.loads((folder / "sound.json").read_text()))
    record = {
        "split": "one_class",
        "output": {"file": "split.json", "sha256": DIGEST},
        "annotations": {"file": "sound.json", "sha256": DIGEST},
        "proposals": {"file": "p.json", "sha256": DIGEST},
    }
    _write(split.with_suffix(".record.json"), record, chance, folder)
    paths = [f"data.train.annotations={split}", f"data.train.images={folder / 'images'}"]
    paths += [f"data.test.annotations={folder / 'sound.json'}", f"data.test.images={folder / 'images'}"]
    return [Trial(["licenses", "--config-file", str(folder / "tiny.yaml"), *paths], ("split.record.json",))]


KINDS = [
    _fetched, _cataloged, _locked, _beside_photos, _declared, _joined_views, _joined_proposals, _packed, _recorded,
]  # fmt: skip
