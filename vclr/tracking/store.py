"""Which store a training is tracked in: said by a setting, else by the environment, else a database beside the work."""

from __future__ import annotations

import os
from pathlib import Path

from vclr.config import Config
from vclr.errors import UserError
from vclr.tracking.database import absolute_address, database_file
from vclr.tracking.run_files import RunFiles
from vclr.tracking.secrets import HIDDEN, redact, remember_password

VARIABLE = "MLFLOW_TRACKING_URI"
OWN_DATABASE = "sqlite:///mlflow.db"


def default_store() -> str:
    """Return the store of everything that names none: `MLFLOW_TRACKING_URI`, else a SQLite file in this folder."""
    return os.environ.get(VARIABLE, "").strip() or OWN_DATABASE


def store_of(config: Config) -> str:
    """Return the store of a training: `tracking.uri` if it is given, else the default.

    Raises:
        UserError: the address comes from the files of a run, which keep no password, and the environment has none.
    """
    address = complete(config.tracking.uri) if config.tracking.uri else default_store()
    remember_password(address)
    return address


def shown_address(address: str) -> str:
    """Return the address of a store as files and messages have it: absolute, without a password."""
    remember_password(address)
    return absolute_address(address) if database_file(address) else redact(address)


def advise_sync(run_dir: Path) -> str:
    """Say how to deliver a run folder later."""
    attempts = RunFiles(run_dir).attempts()
    needs_password = bool(attempts) and HIDDEN in attempts[-1].store
    first = f"set {VARIABLE} to the address of the store with its password, and " if needs_password else ""
    return f"{first}deliver it later with: vclr track sync {run_dir}"


def complete(address: str, *known: str) -> str:
    """Return the whole address of a store that a file of a run names without its password.

    Args:
        address: as the file has it; without a hidden part it is returned as it is.
        known: whole addresses that may be meant, besides `MLFLOW_TRACKING_URI`.

    Raises:
        UserError: a part is hidden, and no known address fits it.
    """
    if HIDDEN not in address:
        return address
    for candidate in (*known, default_store()):
        if shown_address(candidate) == address:
            return candidate
    raise UserError(f"{address}: passwords are not kept in files; set {VARIABLE} to this address with its password")
