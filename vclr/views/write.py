"""Write a computed view of a folder of photos as files, to look at them or to train without computing them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

import msgspec

from vclr.errors import UsageError, UserError
from vclr.file_names import leaves_folder
from vclr.files import atomic_folder, link_file, read_json, write_entries
from vclr.image_folders.open import MANIFEST, open_folder
from vclr.image_folders.walk import Photos, hash_module, walk_photos
from vclr.pictures import write_png
from vclr.shards import WHOLE, Shard, order_parts
from vclr.views.computed import find_view, render_view
from vclr.work_folder import publish


def write_views(
    view: str,
    images: Path,
    output: Path,
    seed: int = 0,
    quiet: bool = False,
    shard: Shard | None = None,
    overwrite: bool = False,
) -> Path:
    """Render a view of every photo of a folder into `output/<stem>.png`, with a `manifest.json` beside them.

    The id of a photo, on which its randomness depends, is its stem, as in the loader. The folder appears whole or not
    at all; it replaces an earlier rendering. An interrupted rendering resumes (see `vclr.image_folders.walk`).

    Args:
        view: one of `vclr.catalog.views.COMPUTED_VIEWS`.
        images: folder of photos, or its zip.
        output: folder to write.
        seed: seed of the views that draw something at random.
        quiet: show no progress.
        shard: render these photos alone, for `join_views`; they look as they do in the whole folder.
        overwrite: replace `output` even if it contains files but no manifest.

    Returns:
        The manifest.

    Raises:
        UsageError: there is no such view, or `output` is a folder that should not be replaced.
        UserError: there are no photos, two have one stem, or some are not images; these are counted at the end.
    """
    module = find_view(view)
    source = open_folder(images)
    photos = source.image_names()
    _check_stems(source.path, photos)
    # A folder beside a zip of its name would hide it.
    own = [Path(images), source.path.with_name(source.path.name.removesuffix(".zip"))]
    output = Path(output)
    _check_output(output, "photos", own, overwrite)

    drawn = Photos(source, photos)
    settings = {"view": view, "seed": seed, "code": hash_module(module)}
    with walk_photos(output, settings, (shard or WHOLE).of(photos), drawn) as walk:

        def render(photo: str) -> tuple[None, list[str]]:
            stem = PurePosixPath(photo).stem
            name = f"{stem}.png"
            write_png(walk.files / name, render_view(view, drawn.open(photo), seed, stem, drawn.draw))
            return None, [name]

        walk.finish(render, f"view {view}", quiet)
        files: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for entry in walk.entries():
            files |= entry["files"]
            sources[entry["item"]] = entry["sources"][entry["item"]]
        facts: dict[str, Any] = {"source_sha256": _hash_sources(sources)}
        if shard:
            facts = {"shard": str(shard), "num_photos": len(photos), "sources": sources}
        write_entries(walk.files, files, view=view, seed=seed, **facts)
        publish(walk.files, output, {*files, MANIFEST})
    return output / MANIFEST


def join_views(parts: Sequence[Path], output: Path, overwrite: bool = False) -> Path:
    """Join the folders of all shards to the folder that `write_views` would have written without shards.

    The pictures are linked, or copied if the file system has no links; the parts stay as they are.

    Returns:
        The manifest.

    Raises:
        UsageError: `output` is a folder that should not be replaced.
        UserError: a shard is missing or damaged, or the shards are not of one view and seed.
    """
    output = Path(output)
    _check_output(output, "shards", parts, overwrite)
    manifests = {Path(part): _read_manifest(Path(part)) for part in parts}
    shards = {part: manifests[part] for part in order_parts((part, read.shard) for part, read in manifests.items())}
    first = next(iter(shards))
    for part, shard in shards.items():
        for fact in ("view", "seed", "num_photos"):
            value, others = getattr(shard, fact), getattr(shards[first], fact)
            if value != others:
                raise UserError(f"{part}: its {fact} is {value}, that of {first} {others}")
    view, seed, num_photos = shards[first].view, shards[first].seed, shards[first].num_photos
    sources = {name: digest for shard in shards.values() for name, digest in shard.sources.items()}
    if len(sources) != num_photos:  # photos came, or went, between one shard and another
        raise UserError(f"{first}: is of {num_photos} photos, the shards together have {len(sources)}")
    files: dict[str, FileFacts] = {}
    with atomic_folder(output) as joined:
        for part, shard in shards.items():
            files |= shard.files
            for name, facts in shard.files.items():
                link_file(part / name, joined / name)
                if (joined / name).stat().st_size != facts["bytes"]:
                    raise UserError(f"{part / name}: is not what {part / MANIFEST} says")
        write_entries(joined, files, view=view, seed=seed, source_sha256=_hash_sources(sources))
    return output / MANIFEST


class FileFacts(TypedDict):
    """What a manifest says about a file."""

    bytes: int
    sha256: str


class ShardManifest(msgspec.Struct):
    """The manifest of a shard."""

    view: str
    seed: int
    shard: str
    num_photos: int
    sources: dict[str, str]
    files: dict[str, FileFacts]


def _read_manifest(part: Path) -> ShardManifest:
    try:
        manifest = msgspec.convert(read_json(part / MANIFEST), ShardManifest)
    except msgspec.ValidationError as error:
        raise UserError(f"{part}: was not written by a shard: {error}") from None
    for name in manifest.files:
        if leaves_folder(name):
            raise UserError(f"{part}: file {name!r} of its manifest.json leaves the folder")
        if not (part / name).is_file():
            raise UserError(f"{part / name}: is missing; {part / MANIFEST} names it")
    return manifest


def _hash_sources(sources: dict[str, str]) -> str:
    """Return one sha256 of the names and hashes of photos, in order."""
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in sources.items()).encode()).hexdigest()


def _check_stems(folder: Path, photos: list[str]) -> None:
    by_stem: dict[str, str] = {}
    for photo in photos:
        other = by_stem.setdefault(PurePosixPath(photo).stem, photo)
        if other != photo:
            raise UserError(f"{folder / photo}: has the stem of {other}, so their views would have one name")


def _check_output(output: Path, kind: str, inputs: Sequence[Path], overwrite: bool) -> None:
    """Refuse to replace a folder of inputs, or a folder with other contents than a rendering."""
    if any(output.resolve() in (folder.resolve(), *folder.resolve().parents) for folder in inputs):
        raise UsageError(f"{output}: contains the {kind}; choose another folder for the views")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; name a folder for the views")
    if output.is_symlink():
        raise UsageError(f"{output}: is a link, which would be replaced; name the folder itself")
    if output.is_dir() and any(output.iterdir()) and not (overwrite or _is_rendering(output)):
        fix = "choose another folder, or replace it with --overwrite"
        raise UsageError(f"{output}: contains files but no manifest.json of a view; {fix}")


def _is_rendering(folder: Path) -> bool:
    """Tell a folder that `vclr views` wrote from other folders with a manifest; `vclr fetch` writes one too."""
    if not (folder / MANIFEST).is_file():
        return False
    manifest = read_json(folder / MANIFEST)
    return isinstance(manifest, dict) and "view" in manifest
