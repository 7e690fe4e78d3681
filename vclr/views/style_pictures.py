"""The pictures whose style a photo gets: those of a folder, or generated textures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.random import Generator

from vclr.catalog.license_files import LICENSE_FILES
from vclr.errors import UserError
from vclr.files import read_bytes
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.open import open_folder
from vclr.image_folders.packed import PackedFolder
from vclr.pictures import IMAGE_SUFFIXES
from vclr.views.textures import draw_texture

GENERATED = "generated"  # is the name of every texture
TERMS = {"name": str, "commercial": bool, "because": str, "url": str}  # of a license; an url is optional


class StylePictures:
    """Draws the picture of a style.

    Attributes:
        facts: what the pictures are, for manifests.
    """

    def __init__(self, path: Path | None) -> None:
        """Find the pictures of a folder and of the folders in it, or of a zip; without a path, textures are generated.

        Raises:
            UserError: there is no such folder, or no picture in it, or its license file cannot be read.
        """
        self.folder: ImageFolder | None = None
        self.names: list[str] = []
        self.facts: dict[str, Any] = {"pictures": GENERATED}
        if path is not None:
            self.folder = open_folder(path)
            self.names = [name for name in self.folder.index().names if name.lower().endswith(IMAGE_SUFFIXES)]
            if not self.names:
                raise UserError(f"{self.folder.path}: contains no pictures ({', '.join(IMAGE_SUFFIXES)})")
            self.facts = {
                "pictures": len(self.names),
                "sha256": _hash_pictures(self.folder, self.names),
                "license": read_declared_license(path),
            }

    def draw(self, random: Generator) -> tuple[str, np.ndarray]:
        """Return the name and the pixels, (h, w, 3) uint8, of the picture that the generator chooses.

        Raises:
            UserError: the picture cannot be read.
        """
        if self.folder is None:
            return GENERATED, draw_texture(random)
        name = self.names[int(random.integers(len(self.names)))]
        return name, np.asarray(self.folder.open(name))


def read_declared_license(path: Path) -> dict[str, Any] | None:
    """Return what the nearest license file says, from a folder (or a zip's) upwards; None if there is none.

    Raises:
        UserError: it is not YAML, or lacks a part of the terms.
    """
    path = path.absolute()
    for place in (folder / name for folder in (path, *path.parents) for name in LICENSE_FILES):
        if place.is_file():
            try:
                says = yaml.safe_load(read_bytes(place))
            except (yaml.YAMLError, ValueError) as error:
                raise UserError(f"{place}: not valid YAML: {' '.join(str(error).split())}") from None
            terms = {key: says[key] for key in TERMS if key in says} if isinstance(says, dict) else {}
            for key, kind in TERMS.items():
                if not isinstance(terms.get(key, "" if key == "url" else None), kind):
                    raise UserError(f"{place}: has no `{key}` that is {'yes or no' if kind is bool else 'text'}")
            return terms
    return None


def _hash_pictures(folder: ImageFolder, names: list[str]) -> str:
    """Return one sha256 of the names and bytes of pictures; of a zip, of its list of names, sizes and CRC-32."""
    if isinstance(folder, PackedFolder):
        return folder.hash_contents()
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {hashlib.sha256(folder.read(name)).hexdigest()}\n".encode())
    return digest.hexdigest()
