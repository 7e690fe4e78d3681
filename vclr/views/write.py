"""Write a view of a folder of photos as files: to look at them, or to train without rendering them again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

import msgspec
import numpy as np

from vclr.catalog.views import COMPUTED_VIEWS, CONTROLS, LAYOUTS, PRODUCERS, REFERENCE
from vclr.depth_colors import colorize_levels
from vclr.errors import UsageError, UserError, nearest
from vclr.file_names import leaves_folder
from vclr.files import atomic_folder, link_file, read_json, write_entries
from vclr.image_folders.open import MANIFEST, open_folder
from vclr.image_folders.walk import Photos, Result, hash_module, walk_photos, without_licenses
from vclr.pictures import write_png
from vclr.shards import WHOLE, Shard, order_parts
from vclr.views.computed import find_view, render_view
from vclr.views.folder_checks import check_output, check_stems, inputs_of, warn_of_subfolders
from vclr.views.option_checks import refuse_unused
from vclr.views.renderer import Rendered, Renderer, RenderOptions
from vclr.work_folder import publish

Json = dict[str, Any]


def write_views(
    view: str,
    images: Path,
    output: Path,
    seed: int = 0,
    quiet: bool = False,
    shard: Shard | None = None,
    overwrite: bool = False,
    options: RenderOptions | None = None,
    layout: str = "",
    keep_work: bool = False,
) -> Path:
    """Render a view of every photo of a folder into `output/<stem>.png`, with a `manifest.json` beside them.

    The id of a photo, on which its randomness depends, is its stem, as in the loader. The folder appears whole or not
    at all; it replaces an earlier rendering. An interrupted rendering resumes (see `vclr.image_folders.walk`). Photos
    that cannot be rendered are left out, and listed in the manifest under `failed`.

    Args:
        view: one of `COMPUTED_VIEWS` or `PRODUCERS` of `vclr.catalog.views`. A view that is both is computed unless
            `options` name a model or weights.
        images: folder of photos, or its zip.
        output: folder to write.
        seed: seed of the views that draw something at random.
        quiet: show no progress.
        shard: render these photos alone, for `join_views`.
        overwrite: replace the folder even if it contains files but no manifest.
        options: how a model renders the view; `seed` replaces theirs.
        layout: one of `LAYOUTS`; "" stores depth in 16 bits.
        keep_work: keep the work folder, so that the same call verifies the output and renders only what it lacks.

    Returns:
        The manifest.

    Raises:
        UsageError: there is no such view, an option does not apply to it, or `output` is a folder that should not be
            replaced.
        UserError: there are no photos, two have one stem, none is an image, or the model cannot be loaded.
    """
    if layout and layout not in LAYOUTS:
        raise UsageError(f"--layout {layout}: must be {', '.join(LAYOUTS)}, or left out")
    source = open_folder(images)
    photos = source.image_names()
    check_stems(source.path, photos)
    output, options = Path(output), replace(options or RenderOptions(), seed=seed)
    check_output(output, inputs_of(images, options), overwrite)
    if (shard or WHOLE).number == 1:  # once, not by every shard
        warn_of_subfolders(source, photos)

    drawn = Photos(source, photos)
    renderer = _open_renderer(view, options, drawn)
    if layout:
        renderer.facts = {**renderer.facts, "layout": layout}
    settings = {"view": view, "seed": seed, "code": renderer.code, **without_licenses(renderer.facts)}
    with walk_photos(output, settings, (shard or WHOLE).of(photos), drawn, keep_work) as walk:

        def render(photos: list[str], images: list[np.ndarray]) -> list[Result]:
            stems = [PurePosixPath(photo).stem for photo in photos]
            results: list[Result] = []
            for stem, picture in zip(stems, renderer.render(images, stems), strict=True):
                shown = _as_reference(picture) if layout == REFERENCE else picture
                write_png(walk.files / f"{stem}.png", shown.pixels, texts=shown.texts)
                results.append((dict(shown.facts), [f"{stem}.png"]))
            return results

        walk.finish(drawn.open, render, f"view {view}", quiet, renderer.batch_size)
        files: Json = {}
        sources: dict[str, str] = {}
        for entry in walk.entries():
            files |= {name: {**facts, **entry["result"]} for name, facts in entry["files"].items()}
            sources[entry["item"]] = entry["sources"][entry["item"]]
        failed = {photo: says.removeprefix(f"{source.path_of(photo)}: ") for photo, says in walk.failed}
        facts: Json = {"source_sha256": _hash_sources(sources)}
        if shard:
            facts = {"shard": str(shard), "num_photos": len(photos), "sources": sources}
        _write_manifest(walk.files, files, failed, view=view, seed=seed, **renderer.facts, **facts)
        publish(walk.files, output, {*files, MANIFEST})
    return output / MANIFEST


def _open_renderer(view: str, options: RenderOptions, photos: Photos) -> Renderer:
    """Open what renders a view: its model, or else its function."""
    is_asked = bool(options.model or options.weights)
    if view in PRODUCERS and (is_asked or view not in COMPUTED_VIEWS):
        renderer: Renderer = import_module(f"vclr.views.{view}_model").open_renderer(options)
        return renderer
    if view not in {*COMPUTED_VIEWS, *CONTROLS}:
        known = {**COMPUTED_VIEWS, **PRODUCERS}
        near = nearest(view, known)
        raise UsageError(f"unknown view {view!r}; nearest: {near} (views: {', '.join(known)})")
    if is_asked:
        raise UsageError(f"view {view}: is computed without a model; leave --model and --weights out")
    is_cpu = options.device == "cpu"  # where it is computed anyway
    refuse_unused(replace(options, device="auto") if is_cpu else options, view, ())
    return _Computed(view, options.seed, photos)


class _Computed:
    """Renders a computed view."""

    batch_size = 1  # photos that are drawn belong to the one that is rendered

    def __init__(self, view: str, seed: int, photos: Photos) -> None:
        self.view, self.seed, self.photos = view, seed, photos
        self.code = hash_module(find_view(view))
        self.facts: Json = {}

    def render(self, images: Sequence[np.ndarray], stems: Sequence[str]) -> list[Rendered]:
        """Render photos (see `vclr.views.renderer`)."""
        both = zip(images, stems, strict=True)
        return [Rendered(render_view(self.view, image, self.seed, stem, self.photos.draw)) for image, stem in both]


def _as_reference(picture: Rendered) -> Rendered:
    """Return a picture as the reference implementation's files have it: 8 bits per channel, depth in colors."""
    is_depth = picture.pixels.dtype == np.uint16
    return Rendered(colorize_levels(picture.pixels), picture.facts) if is_depth else picture


def _write_manifest(folder: Path, files: Json, failed: dict[str, str], **facts: Any) -> None:
    if failed:
        facts["failed"] = dict(sorted(failed.items()))
    write_entries(folder, files, **facts)


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
    check_output(output, {"shards": parts}, overwrite)
    manifests = {Path(part): _read_manifest(Path(part)) for part in parts}
    ordered = order_parts((Path(part), manifests[Path(part)].shard) for part in parts)
    shards = {part: manifests[part] for part in ordered}
    first = next(iter(shards))
    common = without_licenses(shards[first].facts)
    for part, shard in shards.items():
        own = without_licenses(shard.facts)
        for fact in {**common, **own}:
            if own.get(fact) != common.get(fact):
                raise UserError(f"{part}: its {fact} is {own.get(fact)}, that of {first} {common.get(fact)}")
    stated = (shard.facts for shard in shards.values() if "license" in shard.facts)
    facts = dict(next(stated, shards[first].facts))
    num_photos = facts.pop("num_photos")
    sources = {name: digest for shard in shards.values() for name, digest in shard.sources.items()}
    failed = {name: says for shard in shards.values() for name, says in shard.failed.items()}
    if len(sources) + len(failed) != num_photos:  # photos came, or went, between one shard and another
        raise UserError(f"{first}: is of {num_photos} photos, the shards together have {len(sources) + len(failed)}")
    files: dict[str, FileFacts] = {}
    with atomic_folder(output) as joined:
        for part, shard in shards.items():
            files |= shard.files
            for name, about in shard.files.items():
                link_file(part / name, joined / name)
                if (joined / name).stat().st_size != about["bytes"]:
                    raise UserError(f"{part / name}: is not what {part / MANIFEST} says")
        _write_manifest(joined, files, failed, **facts, source_sha256=_hash_sources(sources))
    return output / MANIFEST


class FileFacts(TypedDict):
    """What a manifest says about a file, at least."""

    bytes: int
    sha256: str


class ShardManifest(msgspec.Struct):
    """The manifest of a shard.

    Attributes:
        shard: the text of a `Shard`.
        sources: the sha256 of each photo.
        files: about each file, its size, its hash and what the renderer says.
        failed: why photos were left out.
        facts: everything else, which all shards of a view have in common.
    """

    view: str
    seed: int
    shard: str
    num_photos: int
    sources: dict[str, str]
    files: dict[str, FileFacts]
    failed: dict[str, str] = {}
    facts: dict[str, Any] = {}


def _read_manifest(part: Path) -> ShardManifest:
    content = read_json(part / MANIFEST)
    try:
        manifest = msgspec.convert({**content, "facts": {}} if isinstance(content, dict) else content, ShardManifest)
    except msgspec.ValidationError as error:
        raise UserError(f"{part}: was not written by a shard; its {MANIFEST}: {error}") from None
    own = ("shard", "sources", "files", "failed", "num_files")
    manifest.files = content["files"]
    manifest.facts = {key: value for key, value in content.items() if key not in own}
    for name in manifest.files:
        if leaves_folder(name):
            raise UserError(f"{part}: file {name!r} of its manifest.json leaves the folder")
        if not (part / name).is_file():
            raise UserError(f"{part / name}: is missing; {part / MANIFEST} names it")
    return manifest


def _hash_sources(sources: dict[str, str]) -> str:
    """Return one sha256 of the names and hashes of photos, in order."""
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in sources.items()).encode()).hexdigest()
