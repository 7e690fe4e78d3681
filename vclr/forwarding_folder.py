"""A folder of images whose files lie in other folders, under other names or in one of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from PIL import Image

from vclr.disk_folder import DiskFolder
from vclr.packed_folder import PackedFolder
from vclr.pictures import ImageHeader


class ForwardingFolder(ABC):
    """The methods of `vclr.disk_folder.DiskFolder` for single files, passed on to the folder that has the file."""

    @abstractmethod
    def _locate(self, name: str) -> tuple[DiskFolder | PackedFolder | ForwardingFolder, str]:
        """Return the folder that has a file, or would have it, and the file's name there."""

    def __contains__(self, name: str) -> bool:
        folder, inner = self._locate(name)
        return inner in folder

    def find(self, name: str) -> str | None:
        """Return the name that a file has in its folder, None if there is no such file."""
        folder, inner = self._locate(name)
        return folder.find(inner)

    def path_of(self, name: str) -> Path:
        """Return a file's path; for a missing file, the path that it should have."""
        folder, inner = self._locate(name)
        return folder.path_of(inner)

    def leads_outside(self, name: str) -> Path | None:
        """Return the file outside of its folder to which a link leads, or None."""
        folder, inner = self._locate(name)
        return folder.leads_outside(inner)

    def identity(self, name: str) -> tuple[int, ...] | None:
        """Return a key that two names of one file share, None if there is no such file."""
        folder, inner = self._locate(name)
        return folder.identity(inner)

    def size(self, name: str) -> int:
        """Return how many bytes a file has."""
        folder, inner = self._locate(name)
        return folder.size(inner)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        folder, inner = self._locate(name)
        return folder.read(inner)

    def open(self, name: str, at_least: tuple[int, int] | None = None) -> Image.Image:
        """Read an image, RGB and upright."""
        folder, inner = self._locate(name)
        return folder.open(inner, at_least)

    def read_header(self, name: str) -> ImageHeader:
        """Read the header of an image."""
        folder, inner = self._locate(name)
        return folder.read_header(inner)
