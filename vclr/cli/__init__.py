"""The command `vclr`: one verb each for what the platform does. What a verb needs is imported when it runs."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer

from vclr import __version__
from vclr.cli import data, image_folders, models, results  # noqa: F401  # they register their verbs
from vclr.cli.examples import add_examples, example_of
from vclr.cli.options import app as app
from vclr.errors import explain
from vclr.progress import start_logging

# What a command line is refused with. Typer exports only this child of it.
Misuse: Any = typer.BadParameter.__mro__[1]

RENAMED = {"licences": "licenses"}  # verbs whose old names work for one more release

add_examples(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vclr {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    start_logging()
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command line: errors of the user are one line; exit 0 done, 1 failed, 2 misuse, 75 or 130 interrupted."""
    write_any_character()
    use_new_name()
    try:
        sys.exit(app(prog_name="vclr", standalone_mode=False))
    except (Exception, KeyboardInterrupt) as error:
        explanation = explain_misuse(error) or explain(error)
        if explanation is None:
            raise
        message, exit_code = explanation
        print(f"vclr: {message}", file=sys.stderr)
        sys.exit(exit_code)


def use_new_name() -> None:
    """Replace the old name of a verb on the command line, and say so."""
    for old in set(sys.argv[1:2]) & set(RENAMED):
        print(f"vclr: `vclr {old}` is now `vclr {RENAMED[old]}`; the next release drops the old name", file=sys.stderr)
        sys.argv[1] = RENAMED[old]


def write_any_character() -> None:
    """Print escapes for characters that the terminal's encoding lacks and for bytes of file names that are no text."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def explain_misuse(error: Any) -> tuple[str, int] | None:
    """Say in one line what is wrong with the arguments, and how they could look; None for another error."""
    if isinstance(error, typer.Abort):
        return "aborted", 1
    if not isinstance(error, Misuse):
        return None
    path = error.ctx.command_path if error.ctx else "vclr"
    verb = path.partition(" ")[2]
    # The error of a group of verbs without a verb says nothing: it has shown the help.
    message = " ".join(error.format_message().split()).rstrip(".") or "a verb is missing"
    message = f"{verb}: " * bool(verb) + message[0].lower() + message[1:]
    example = example_of(path)
    next_step = f"example: {example}" if example else f"`{path} --help` lists the verbs"
    return message + (" " if message.endswith("?") else "; ") + next_step, error.exit_code
