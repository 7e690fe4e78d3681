"""A folder of images: what each kind of folder can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path

from PIL import Image

from vclr.errors import UserError
from vclr.file_names import NameIndex
from vclr.pictures import IMAGE_SUFFIXES, ImageHeader, open_image, read_image_header


class ImageFolder(ABC):
    """A folder of images. A file is named by its path below the folder.

    A file is found under every name that means it (`vclr.file_names.spellings`). A name that leads out of the folder is
    never found.

    Attributes:
        path: the folder, or what messages call it.
    """

    path: Path

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    @abstractmethod
    def find(self, name: str) -> str | None:
        """Return the name that a file has here, None if there is no such file or its name leaves the folder."""

    def path_of(self, name: str) -> Path:
        """Return a file's path, in a zip as if it were a folder; for a missing file, the path that it should have."""
        return self.path / (self.find(name) or name)

    @abstractmethod
    def index(self, used: Collection[str] = ()) -> NameIndex:
        """Return the names of all files, including those in subfolders, to find the one that a missing name means.

        Files whose `file_key` is in `used` are left out: they belong to another entry.
        """

    def leads_outside(self, name: str) -> Path | None:
        """Return the file outside of this folder to which a link (the file, or a folder above it) leads, or None."""
        return None

    def image_names(self) -> list[str]:
        """List the image files, without those in subfolders, sorted.

        Raises:
            UserError: there are none.
        """
        names = sorted(self.images_below(""))
        if not names:
            below = [name for name in self.index().names if name.lower().endswith(IMAGE_SUFFIXES)]
            hint = f"; name the subfolder ({below[0]}, for example)" if below else ""
            raise UserError(f"{self.path}: contains no images ({', '.join(IMAGE_SUFFIXES)}){hint}")
        return names

    @abstractmethod
    def images_below(self, below: str) -> list[str]:
        """List the image files in a subfolder ("" for this folder), by their paths here."""

    @abstractmethod
    def identity(self, name: str) -> tuple[int, ...] | None:
        """Return a key that two names of one file share, None if there is no such file."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Return how many bytes a file has."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return a file's bytes; those from a zip are verified by their checksum.

        Raises:
            UserError: there is no such file, or it is damaged.
        """

    def open(self, name: str, at_least: tuple[int, int] | None = None) -> Image.Image:
        """Read an image, RGB and upright (see `open_image`).

        Raises:
            UserError: the file is missing, is not an image, or is damaged.
        """
        return open_image(self.path_of(name), self.read(name), at_least)

    def read_header(self, name: str) -> ImageHeader:
        """Read the header of an image (see `read_image_header`)."""
        return read_image_header(self.path_of(name), self.read(name))

    def missing(self, name: str) -> UserError:
        """Return the error for a file that does not exist; it names the nearest file."""
        near = self.index().nearest(name)
        return UserError(f"{self.path / name}: does not exist" + (f"; nearest: {self.path / near}" if near else ""))
