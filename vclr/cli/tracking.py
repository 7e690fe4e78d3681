"""`vclr track`: deliver what run folders hold to MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vclr.cli.options import app
from vclr.errors import UserError

track = typer.Typer(no_args_is_help=True, help="Deliver run folders to MLflow.")
app.add_typer(track, name="track")


@track.command()
def sync(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders with run folders below them (default: runs).")
    ] = None,
    uri: Annotated[
        str, typer.Option(help="Database or server to deliver to (default: the one that each training used).")
    ] = "",
) -> None:
    """Deliver to MLflow what trainings could not deliver: curves, results, files and how they ended.

    Everything is stored once, however often this is called, also from copies of run folders. A training that was killed
    or whose machine was lost is shown as KILLED afterwards. Exits with 1 if something could not be delivered.
    """
    from vclr.tracking.delivery import BusyError
    from vclr.tracking.sync import Deliveries, find_run_folders

    deliveries, num_failed = Deliveries(uri), 0
    for folder in find_run_folders(folders or [Path("runs")]):
        try:
            done = deliveries.deliver(folder)
        except BusyError as error:
            print(error)
            continue
        except UserError as error:
            print(error)
            num_failed += 1
            continue
        print(f"{folder}: {done.points} values and {done.files} files delivered to {done.store}; {done.status}")
        for line in (*done.notes, *(f"not delivered: {problem}" for problem in done.problems)):
            print(f"{folder}: {line}")
        num_failed += bool(done.problems)
    if num_failed:
        what = "1 folder is" if num_failed == 1 else f"{num_failed} folders are"
        raise UserError(f"track sync: {what} not delivered whole; the same command tries again")
