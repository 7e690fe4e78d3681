"""A hash of the code that makes something: what other code made is not mixed with it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from vclr.files import sha256

PACKAGE = Path(__file__).parent


@cache
def hash_code(*modules: str) -> str:
    """Return one sha256 of some modules of this package, and of all modules that they import, directly or not."""
    digest = hashlib.sha256()
    for name, path in sorted(list_modules(*modules).items()):
        digest.update(f"{name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def list_modules(*modules: str) -> dict[str, Path]:
    """Return the files of some modules of this package, and of all that they import, as their source says.

    The package's own `__init__.py` is not among them. What is imported under a computed name is not seen.
    """
    found: dict[str, Path] = {}
    pending = [*modules]
    while pending:
        name = pending.pop()
        path = _find(name)
        if name not in found and path is not None:
            found[name] = path
            pending += _names_imported_by(path)
    return found


def _find(module: str) -> Path | None:
    """Return the file of a module; None for a name in a module, and for what is not of this package."""
    root, *parts = module.split(".")
    place = PACKAGE.joinpath(*parts)
    candidates = [place.with_suffix(".py"), place / "__init__.py"] if root == PACKAGE.name and parts else []
    return next((path for path in candidates if path.is_file()), None)


def _names_imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
