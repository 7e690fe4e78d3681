"""Where a pretrained model is: in a folder, or on the Hugging Face hub. Imports no torch."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path

from vclr.config.shipped import find_settings
from vclr.errors import UsageError, UserError
from vclr.file_names import say_nearest
from vclr.files import sha256

HUB_NAME = r"[\w.-]+(/[\w.-]+)?"
MAIN = "main"  # the branch of a hub model unless another revision is given


def find_folder(source: str) -> Path | None:
    """Return the folder that a source names, None if there is no such folder: then it can be a name on the hub.

    As with settings, `configs/...` may be a folder of the package.
    """
    folder = find_settings(Path(source))
    return folder if folder.is_dir() else None


def locate_source(source: str, revision: str = "") -> Path | None:
    """Return the folder that a source names, or None if it names a model on the hub, which is not asked.

    Args:
        source: a folder, or a name on the hub.
        revision: what chooses a branch, tag or commit on the hub, such as "--revision main"; "" if nothing does.

    Raises:
        UserError: it is neither a folder nor a name.
        UsageError: it is a folder, and has a revision.
    """
    folder = find_folder(source)
    if folder is None and not re.fullmatch(HUB_NAME, source):
        raise UserError(f"{source}: no such folder{say_nearest(source)}; name a folder, or a model of the hub")
    if folder and revision:
        raise UsageError(f"{revision}: {source} is a folder, which has no revisions; leave it out")
    return folder


def list_model_files(folder: Path) -> list[Path]:
    """List the files of a model's folder by name, without hidden ones and those in subfolders."""
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted((path for path in files if path.name != "manifest.json"), key=lambda path: path.name)


def hash_folder(folder: Path) -> str:
    """Return one sha256 of the names and bytes of the files of a model's folder."""
    digest = hashlib.sha256()
    for path in list_model_files(folder):
        digest.update(f"{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def cached_commit(source: str, revision: str = "") -> str:
    """Return the commit of a hub model that this machine has, "" if it has none of that revision."""
    if not re.fullmatch(HUB_NAME, source):
        return ""
    with suppress(ImportError):  # without the extra, the machine has none
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(source, "config.json", revision=revision or MAIN)
        return Path(found).parent.name if isinstance(found, str) else ""  # .../snapshots/COMMIT/config.json
    return ""
