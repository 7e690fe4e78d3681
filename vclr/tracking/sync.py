"""Deliver run folders to MLflow outside of a training: `vclr track sync`, and after an evaluation."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from vclr.config import read_config
from vclr.errors import UsageError, UserError, explain, first_line
from vclr.files import read_json
from vclr.tracking.delivery import BusyError, Delivered, Delivery, only_delivery
from vclr.tracking.run_files import FOLDER, RUN_FILE
from vclr.tracking.secrets import redact
from vclr.tracking.store import complete, store_of

log = logging.getLogger("vclr.tracking")

LOCK_PATIENCE = 1.0  # seconds; a running training holds the lock as long as it lasts


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
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _search(path)


def store_of_folder(run_dir: Path) -> str:
    """Return the address of the store that a training was configured to use."""
    return store_of(read_config(run_dir / "config.yaml"))


def store_of_run(run_dir: Path, *known: str) -> str:
    """Return the address of the store that has the run of a folder already, else that of `store_of_folder`.

    Args:
        run_dir: the run folder.
        known: addresses that may be meant if the folder names one whose password is hidden.
    """
    if (run_dir / RUN_FILE).is_file():
        return complete(read_json(run_dir / RUN_FILE)["uri"], *known)
    return store_of_folder(run_dir)


def deliver_folder(run_dir: Path, uri: str) -> Delivered:
    """Deliver a run folder to a store, unless another process is at it.

    Raises:
        BusyError: another process is at it.
        UserError: it could not be done, in one line.
    """
    with only_delivery(run_dir, LOCK_PATIENCE):
        try:
            return Delivery(run_dir, uri).deliver()
        except Exception as error:
            told = explain(error)
            raise UserError(f"{run_dir}: {redact(told[0] if told else first_line(error))}") from None


def deliver_now(run_dir: Path, uri: str) -> None:
    """Deliver a run folder in which something is new. An error is only a warning: it is delivered another time."""
    try:
        done = deliver_folder(run_dir, uri)
    except BusyError:  # whoever is at it looks into the folder again
        return
    except UserError as error:
        log.warning("%s; deliver it later with: vclr track sync %s", error, run_dir)
        return
    for problem in done.problems:
        log.warning("%s: not in MLflow: %s", run_dir, problem)
