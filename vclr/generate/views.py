"""Write a computed view of a folder of photos as files: for looking at them, or for training without computing them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.random import Generator

from vclr.errors import UsageError, UserError
from vclr.files import atomic_folder, list_images, read_image, sha256, write_manifest, write_png
from vclr.ops.appearance import check_view, render_view
from vclr.progress import track


def write_views(view: str, images: Path, output: Path, seed: int = 0, quiet: bool = False) -> Path:
    """Render a view of every photo of a folder into `output/<stem>.png`, with a `manifest.json` beside them.

    The id of a photo, which its randomness depends on, is its stem, as in the loader. The folder appears whole or not
    at all; an earlier rendering there is replaced.

    Args:
        view: one of `vclr.ops.appearance.COMPUTED_VIEWS`.
        images: folder of photos.
        output: folder to write.
        seed: of the views that draw something at random.
        quiet: show no progress.

    Returns:
        The manifest.

    Raises:
        UsageError: no such view, or `output` is a folder that should not be replaced.
        UserError: no photos, one that is not an image, or two of one stem.
    """
    check_view(view)
    photos = list_images(images)
    _check_stems(photos)
    _check_output(Path(output), Path(images))

    def draw_photo(random: Generator) -> np.ndarray:
        return read_image(photos[int(random.integers(len(photos)))])

    source = hashlib.sha256()
    with atomic_folder(output) as folder:
        rendered = []
        for photo in track(photos, f"view {view}", quiet=quiet):
            rendered.append(folder / f"{photo.stem}.png")
            write_png(rendered[-1], render_view(view, read_image(photo), seed, photo.stem, draw_photo))
            source.update(f"{photo.name} {sha256(photo)}\n".encode())
        write_manifest(folder, rendered, view=view, seed=seed, source_sha256=source.hexdigest())
    return Path(output) / "manifest.json"


def _check_stems(photos: list[Path]) -> None:
    by_stem: dict[str, Path] = {}
    for photo in photos:
        other = by_stem.setdefault(photo.stem, photo)
        if other != photo:
            raise UserError(f"{photo}: has the stem of {other.name}, so their views would have one name")


def _check_output(output: Path, images: Path) -> None:
    """Refuse to replace a folder that is, or holds, the photos or anything else that is no rendering."""
    if output.resolve() in (images.resolve(), *images.resolve().parents):
        raise UsageError(f"{output}: holds the photos; the views need a folder of their own")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; the views need a folder")
    if output.is_dir() and any(output.iterdir()) and not (output / "manifest.json").is_file():
        raise UsageError(f"{output}: holds files but no manifest.json, so it is not replaced")
