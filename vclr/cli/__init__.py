"""The command `vclr`: one verb each for what the platform does. What a verb needs is imported when it runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vclr import __version__
from vclr.cli import data, models, results  # noqa: F401  # they register their verbs
from vclr.cli.options import app as app
from vclr.errors import explain
from vclr.progress import start_logging


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vclr {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say it.")] = False,
) -> None:
    start_logging()


def main() -> None:
    """Run the command line: errors of the user are one line; exit 0 done, 1 failed, 2 misuse, 75 or 130 interrupted."""
    try:
        app()
    except (Exception, KeyboardInterrupt) as error:
        explanation = explain(error)
        if explanation is None:
            raise
        message, exit_code = explanation
        print(f"vclr: {message}", file=sys.stderr)
        sys.exit(exit_code)
