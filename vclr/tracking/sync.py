"""Deliver run folders to MLflow outside of a training: `vclr track sync`, and after an evaluation."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from vclr.config import read_config
from vclr.errors import UsageError, UserError, one_line
from vclr.files import read_json
from vclr.tracking.database import database_file
from vclr.tracking.delivery import BusyError, Delivered, Delivery, only_delivery
from vclr.tracking.record import open_store
from vclr.tracking.run_files import FOLDER, RUN_FILE, RUNNING, RunFiles
from vclr.tracking.secrets import redact
from vclr.tracking.store import advise_sync, complete, store_of

log = logging.getLogger("vclr.tracking")

# Seconds for another delivery to end: of a training, which goes on anyway, and of a command, which does not.
LOCK_PATIENCE, LONG_LOCK_PATIENCE = 5.0, 60.0


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
    if not os.access(folder, os.R_OK | os.X_OK):
        log.warning("%s: cannot be read; left out", folder)
        return
    if (folder / "config.yaml").is_file() and ((folder / "metrics.jsonl").is_file() or (folder / FOLDER).is_dir()):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _search(path)


def store_of_run(run_dir: Path, *known: str) -> str:
    """Return the address of the store of a run: where its last attempt was to be stored, else the one that has it.

    A database that is not there, as after the folder was copied to another machine, does not count.

    Args:
        run_dir: the run folder.
        known: addresses that may be meant if the folder names one whose password is hidden.

    Raises:
        UserError: the folder names no store, or one whose password is not known, or cannot be read.
    """
    try:
        last, *others = [attempt.store for attempt in RunFiles(run_dir).attempts()[::-1]] or [""]
        stored = [read_json(run_dir / RUN_FILE).get("uri", "")] if (run_dir / RUN_FILE).is_file() else []
        for address in filter(None, (last, *stored, *others)):
            database = database_file(address)
            if database is None or database.is_file():
                return complete(address, *known)
        if not (run_dir / "config.yaml").is_file():
            raise UserError("is not a run folder (it has no config.yaml)")
        return store_of(read_config(run_dir / "config.yaml"))
    except Exception as error:
        raise UserError(redact(f"{run_dir}: {one_line(error)}")) from None


class Deliveries:
    """Deliver run folders; a store that does not answer is asked only once."""

    def __init__(self, uri: str = "", *known: str) -> None:
        """Choose a store for all; by default, each goes to its own. `known` is as of `store_of_run`."""
        self._uri, self._known = uri, known
        self._failures: dict[str, str] = {}  # by store; "" if it answered

    def deliver(self, run_dir: Path) -> Delivered:
        """Deliver a folder.

        Raises:
            BusyError: another process is at it.
            UserError: it could not be done, in one line.
        """
        address = self._uri or store_of_run(run_dir, *self._known)
        if address not in self._failures:
            self._failures[address] = _try_out(address)
        if failure := self._failures[address]:
            raise UserError(f"{run_dir}: {failure}")
        with only_delivery(run_dir, LOCK_PATIENCE if _is_running(run_dir) else LONG_LOCK_PATIENCE):
            try:
                return Delivery(run_dir, address, keeps_address=not self._uri).deliver()
            except Exception as error:
                raise UserError(redact(f"{run_dir}: {one_line(error)}")) from None

    def deliver_or_warn(self, run_dir: Path) -> None:
        """Deliver a folder in which something is new. What fails is only a warning: it is delivered another time."""
        try:
            problems = [f"{run_dir}: {problem}" for problem in self.deliver(run_dir).problems]
        except BusyError as error:
            if _is_running(run_dir):
                return  # its training looks into the folder again
            problems = [str(error)]
        except UserError as error:
            problems = [str(error)]
        for problem in problems:
            log.warning("%s; not in MLflow; %s", problem, advise_sync(run_dir))


def _is_running(run_dir: Path) -> bool:
    with suppress(OSError):  # a folder of somebody else
        return RunFiles(run_dir).status()[0] == RUNNING
    return False


def _try_out(address: str) -> str:
    """Return why a store does not answer, in a line; "" if it does."""
    database = database_file(address)
    if database is not None and not database.parent.is_dir():
        return f"{address}: the folder {database.parent} does not exist"
    try:
        open_store(address).search_experiments(max_results=1)
    except Exception as error:
        return redact(f"{address}: {one_line(error)}")
    return ""
