"""`vclr doctor`: check this installation and this machine."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vclr.cli.options import doctor


@doctor.callback(invoke_without_command=True)
def check(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one json object.")] = False,
) -> None:
    """Check Python, torch, the device, memory, disk, extras and folders, or with a verb your data or your cluster.

    Each line begins with ok, warning or error; an arrow below it says what to do. The exit code is 1 if something is
    broken that vclr needs, else 0.
    """
    if context.invoked_subcommand:
        return
    from vclr import __version__
    from vclr.finding import ERROR, WARNING, print_finding
    from vclr.installation.check import check_installation
    from vclr.wording import count_of

    findings = []
    for finding in check_installation():
        findings.append(finding)
        if not as_json:
            print_finding(finding)
    errors, warnings = ([one for one in findings if one.level == level] for level in (ERROR, WARNING))
    if as_json:
        listed = [finding._asdict() for finding in findings]
        print(json.dumps({"vclr": __version__, "usable": not errors, "findings": listed}, indent=1))
    else:
        found = f"{count_of(len(errors), 'error')}, {count_of(len(warnings), 'warning')}"
        print(f"vclr {__version__} {'is ready' if not errors else 'is not ready: fix the errors above'} ({found})")
    raise typer.Exit(int(bool(errors)))
