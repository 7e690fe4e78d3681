"""Deliver run folders to MLflow outside of a training: `vclr track sync`, and after an evaluation."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from vclr.config import read_config
from vclr.errors import UsageError, UserError, one_line
from vclr.files import read_json
from vclr.tracking.database import database_file
from vclr.tracking.delivery import BusyError, Delivered, Delivery, only_delivery
from vclr.tracking.record import open_store
from vclr.tracking.run_files import FOLDER, RUN_FILE, RunFiles
from vclr.tracking.secrets import redact
from vclr.tracking.store import complete, store_of

log = logging.getLogger("vclr.tracking")

LOCK_PATIENCE = 5.0  # seconds for another delivery to end


def find_run_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the run folders among these folders and below them.

    Raises:
        UsageError: there is no such folder, or no run folder in it.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"track sync: {folder}: no such folder")
        runs = dict.fromkeys(_search(folder))
        if not runs:
            raise UsageError(f"track sync: {folder}: no run folder there (one holds config.yaml and metrics.jsonl)")
        found |= runs
    return [*found]


def _search(folder: Path) -> Iterator[Path]:
    if (folder / "config.yaml").is_file() and ((folder / "metrics.jsonl").is_file() or (folder / FOLDER).is_dir()):
        yield folder
        return
    if not os.access(folder, os.R_OK | os.X_OK):
        log.warning("%s: cannot be read; left out", folder)
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _search(path)


def store_of_run(run_dir: Path, *known: str) -> str:
    """Return the address of the store of a run: the one that has it, else the one that its training was to use.

    A database that is not there, as after the folder was copied to another machine, does not count.

    Args:
        run_dir: the run folder.
        known: addresses that may be meant if the folder names one whose password is hidden.

    Raises:
        UserError: the folder names no store, or one whose password is not known.
    """
    files = RunFiles(run_dir)
    named = [read_json(run_dir / RUN_FILE)["uri"]] if (run_dir / RUN_FILE).is_file() else []
    named += [attempt.store for attempt in files.attempts()[::-1] if attempt.store]
    for address in named:
        database = database_file(address)
        if database is None or database.is_file():
            return complete(address, *known)
    if not (run_dir / "config.yaml").is_file():
        raise UserError(f"{run_dir}: is not a run folder (it has no config.yaml)")
    return store_of(read_config(run_dir / "config.yaml"))


def deliver_folder(run_dir: Path, uri: str = "", *known: str) -> Delivered:
    """Deliver a run folder to a store, by default that of the run, unless another process is at it.

    Args:
        run_dir: the run folder.
        uri: the address of another store.
        known: as of `store_of_run`.

    Raises:
        BusyError: another process is at it.
        UserError: it could not be done, in one line.
    """
    with only_delivery(run_dir, LOCK_PATIENCE):
        try:
            return Delivery(run_dir, uri or store_of_run(run_dir, *known), keeps_address=not uri).deliver()
        except Exception as error:
            raise UserError(redact(f"{run_dir}: {one_line(error)}")) from None


class Deliveries:
    """Deliver many folders, some to the same store; one that does not answer is asked only once."""

    def __init__(self, uri: str = "") -> None:
        """Choose a store for all; by default, each goes to its own."""
        self._uri = uri
        self._failures: dict[str, str] = {}  # by store; "" if it answered

    def deliver(self, run_dir: Path) -> Delivered:
        """Deliver a folder; errors are those of `deliver_folder`."""
        address = self._uri or store_of_run(run_dir)
        if address not in self._failures:
            self._failures[address] = _try_out(address)
        if failure := self._failures[address]:
            raise UserError(f"{run_dir}: {failure}")
        return deliver_folder(run_dir, self._uri)


def _try_out(address: str) -> str:
    """Return why a store does not answer, in a line; "" if it does."""
    try:
        open_store(address).search_experiments(max_results=1)
    except Exception as error:
        return redact(f"{address}: {one_line(error)}")
    return ""


def deliver_now(run_dir: Path, *known: str) -> None:
    """Deliver a run folder in which something is new. An error is only a warning: it is delivered another time.

    Args:
        run_dir: the run folder.
        known: as of `store_of_run`.
    """
    try:
        problems = [f"{run_dir}: {problem}" for problem in deliver_folder(run_dir, "", *known).problems]
    except BusyError:  # whoever is at it looks into the folder again
        return
    except UserError as error:
        problems = [str(error)]
    for problem in problems:
        log.warning("%s; not in MLflow; deliver it later with: vclr track sync %s", problem, run_dir)
