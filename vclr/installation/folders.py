"""Check that the folders that vclr writes can be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vclr.errors import UsageError
from vclr.finding import ERROR, OK, WARNING, Finding
from vclr.outputs import check_writable

WORK = ("data", "runs", "results", "logs")  # in the working folder; they are made when something is written to them


def check_folders() -> Iterator[Finding]:
    """Check the folders of the work, then those of the user that keep caches and settings."""
    unwritable = {name: why for name in WORK if (why := why_not(Path(name)))}
    for name, why in unwritable.items():
        fix = f"work in a folder of your own: `mkdir ~/vclr-work && cd ~/vclr-work`; or `chmod u+w {name}`"
        yield Finding(ERROR, "folders", f"{name}: {why}", fix)
    if not unwritable:
        yield Finding(OK, "folders", f"{', '.join(WORK)} can be written in {os.getcwd()}")
    for variable, folder in caches().items():
        if why := why_not(folder):
            fix = f"choose another one: `export {variable}=FOLDER`"
            yield Finding(WARNING, "folders", f"cache of pretrained models: {why}", fix)
        else:
            yield Finding(OK, "folders", f"{folder} can be written (cache)")


def caches() -> dict[str, Path]:
    """Return the folders of caches, by the environment variable that chooses each."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {"HF_HOME": Path(os.environ.get("HF_HOME") or cache / "huggingface")}


def why_not(folder: Path) -> str:
    """Return why a folder cannot be written or made; an empty string if it can."""
    try:
        check_writable(Path(os.path.abspath(folder)), str(folder))
    except UsageError as error:
        return str(error).partition(": ")[2].removeprefix("cannot be written: ").removesuffix("; choose another folder")
    except OSError as error:  # the working folder has been deleted, for example
        return str(error.strerror)
    return ""
