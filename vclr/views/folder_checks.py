"""Checks of the folders that a rendering reads and replaces."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from vclr.errors import UsageError, UserError
from vclr.files import read_json
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.open import MANIFEST
from vclr.pictures import IMAGE_SUFFIXES
from vclr.views.renderer import RenderOptions
from vclr.wording import count_of

log = logging.getLogger("vclr.views")


def inputs_of(images: Path, options: RenderOptions) -> dict[str, list[Path]]:
    """Return the files and folders that a rendering reads, by the word for them in errors."""
    model = Path(options.model)
    named = {
        "photos": Path(images),
        "model": model if options.model and model.exists() else None,
        "weights": options.weights,
        "style pictures": options.styles,
    }
    # A folder beside a zip of its name would hide it.
    return {
        kind: [path, path.with_name(path.name.removesuffix(".zip"))]
        for kind, path in named.items()
        if path is not None and path.name
    }


def check_output(output: Path, inputs: Mapping[str, Sequence[Path]], overwrite: bool) -> None:
    """Refuse to replace a folder of inputs, or a folder with other contents than a rendering.

    Args:
        output: the folder to write.
        inputs: what is read, by the word for it in errors.
        overwrite: allow other contents.

    Raises:
        UsageError: the output should not be replaced.
    """
    for kind, paths in inputs.items():
        if any(output.resolve() in (path.resolve(), *path.resolve().parents) for path in paths):
            raise UsageError(f"{output}: contains the {kind}; choose another folder for the views")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; name a folder for the views")
    if output.is_symlink():
        raise UsageError(f"{output}: is a link, which would be replaced; name the folder itself")
    if output.is_dir() and any(output.iterdir()) and not (overwrite or _is_rendering(output)):
        fix = "choose another folder, or replace it with --overwrite"
        raise UsageError(f"{output}: contains files but no manifest.json of a view; {fix}")
    if output.is_dir() and not overwrite and (below := [path.name for path in output.iterdir() if path.is_dir()]):
        fix = "choose another folder, or replace all of it with --overwrite"
        raise UsageError(f"{output}: contains the folder {below[0]}, which would be lost; {fix}")


def _is_rendering(folder: Path) -> bool:
    """Tell a folder that `vclr views` wrote from other folders with a manifest; `vclr fetch` writes one too."""
    if not (folder / MANIFEST).is_file():
        return False
    manifest = read_json(folder / MANIFEST)
    return isinstance(manifest, dict) and "view" in manifest


def check_stems(folder: Path, photos: Sequence[str]) -> None:
    """Refuse photos whose views would have one name."""
    by_stem: dict[str, str] = {}
    for photo in photos:
        other = by_stem.setdefault(PurePosixPath(photo).stem, photo)
        if other != photo:
            raise UserError(f"{folder / photo}: has the stem of {other}, so their views would have one name")


def warn_of_subfolders(source: ImageFolder, photos: Collection[str]) -> None:
    """Say that photos in subfolders get no view, and how they do."""
    known = set(photos)
    below = [
        name
        for name in source.index().names
        if "/" in name and name not in known and name.lower().endswith(IMAGE_SUFFIXES)
    ]
    if below:
        log.warning(
            "%s: %s in subfolders left out (%s, for example); run the command for each subfolder",
            source.path,
            count_of(len(below), "photo"),
            below[0],
        )
