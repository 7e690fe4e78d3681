"""Sizes and checksums: those that a file has, and those that it should have."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Expected:
    """The known size and checksums of a file before it is downloaded."""

    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    origin: str = ""  # where this is known from, for the error

    @property
    def has_checksum(self) -> bool:
        return self.md5 is not None or self.sha256 is not None

    def difference(self, found: Found) -> str:
        """Say how a file differs from what is expected; empty if it does not. If there is a checksum, it decides."""
        says = f" ({self.origin})" if self.origin else ""
        for name, expected, got in (("sha256", self.sha256, found.sha256), ("md5", self.md5, found.md5)):
            if expected is not None and expected != got:
                size = f", with {found.bytes} bytes" if self.bytes is None else ""
                if self.bytes is not None and self.bytes != found.bytes:
                    size = f", with {found.bytes} bytes instead of {self.bytes}"
                return f"{name} is {got}{size}, expected {expected}{says}"
        if not self.has_checksum and self.bytes is not None and self.bytes != found.bytes:
            return f"has {found.bytes} bytes, expected {self.bytes}{says}"
        return ""


@dataclass(frozen=True)
class Found:
    """The size and checksums of a file."""

    bytes: int
    md5: str
    sha256: str


def hash_file(path: Path, num_bytes: int | None = None) -> Found:
    """Return the size and the checksums of a file, or of its first bytes."""
    md5, sha256 = hashlib.new("md5", usedforsecurity=False), hashlib.sha256()
    left = path.stat().st_size if num_bytes is None else num_bytes
    size = 0
    with path.open("rb") as file:
        while data := file.read(min(left, 1 << 20)):
            md5.update(data)
            sha256.update(data)
            size, left = size + len(data), left - len(data)
    return Found(size, md5.hexdigest(), sha256.hexdigest())
