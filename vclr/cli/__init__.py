"""The command `vclr`, with one verb per task. A verb imports what it needs when it runs."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer

from vclr import __version__

# They register their verbs.
from vclr.cli import (  # noqa: F401
    converting,
    data,
    doctor,
    exporting,
    image_folders,
    importing,
    inspecting,
    jobs,
    models,
    predicting,
    probe,
    proposals,
    results,
    serving,
    tracking,
)
from vclr.cli.examples import add_examples, example_of
from vclr.cli.options import Misuse
from vclr.cli.options import app as app
from vclr.errors import explain
from vclr.option_names import of_the_command_line
from vclr.progress import start_logging

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
    context.with_resource(of_the_command_line())
    start_logging()
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 misused, 75 or 130 interrupted. A user error is one line."""
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
    """Print an escape for each character that the terminal's encoding lacks, and for undecodable file name bytes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def explain_misuse(error: Any) -> tuple[str, int] | None:
    """Return one line that explains bad arguments and gives an example, and the exit code; None for other errors."""
    if isinstance(error, typer.Abort):
        return "aborted", 1
    if not isinstance(error, Misuse):
        return None
    path = error.ctx.command_path if error.ctx else "vclr"
    verb = path.partition(" ")[2]
    # A group of verbs without a verb has printed its help, and its error message is empty.
    message = " ".join(error.format_message().split()).rstrip(".") or "a verb is missing"
    message = f"{verb}: " * bool(verb) + message[0].lower() + message[1:]
    example = example_of(path)
    next_step = f"example: {example}" if example else f"`{path} --help` lists the verbs"
    return message + (" " if message.endswith("?") else "; ") + next_step, error.exit_code
