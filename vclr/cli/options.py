"""The command itself, and the options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vclr.catalog.data_sets import PROTOCOLS
from vclr.shards import Shard, parse_shard

FIRST_STEPS = """\b
First steps:
  make demo              toy scenes, three trainings, a report; on a CPU
  vclr doctor data -h    your own photos: check them, then `vclr train -h`
  vclr fetch -h          the published data: `vclr fetch coco2017 --dry-run`
"""

app = typer.Typer(
    help="View-consistent learning for open-world instance segmentation.\n\n" + FIRST_STEPS,
    invoke_without_command=True,  # it then shows its help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

doctor = typer.Typer(help="Find out what is wrong before a training does.", no_args_is_help=True)
app.add_typer(doctor, name="doctor")

importers = typer.Typer(help="Make a COCO json of the annotations of another tool.", no_args_is_help=True)
app.add_typer(importers, name="import")

ConfigFile = Annotated[
    Path | None, typer.Option("--config-file", "-c", help="YAML with the differences from the defaults.")
]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, as many as needed; see configs/README.md.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Output = Annotated[Path, typer.Option("--output", help="Where to write.")]
Join = Annotated[list[Path] | None, typer.Option("--join", help="What a shard wrote, once for each: make it one.")]
Protocol = Annotated[
    str,
    typer.Option(
        help=f"A published protocol ({', '.join(PROTOCOLS)}), or a group or test set of the configuration "
        "(default: evaluation.protocol)."
    ),
]
ShardOption = Annotated[
    Shard | None,
    typer.Option("--shard", metavar="K/N", parser=parse_shard, help="Only the K-th of N blocks of the images."),
]
