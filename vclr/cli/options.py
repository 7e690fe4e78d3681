"""The command itself, and the options that several verbs share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vclr.catalog.data_sets import KNOWN, PROTOCOLS
from vclr.catalog.weights import WEIGHTS
from vclr.shards import Shard, parse_shard

if TYPE_CHECKING:
    from vclr.config import Config

# The error for a bad command line. Typer exports only this subclass of it.
Misuse: Any = typer.BadParameter.__mro__[1]

FIRST_STEPS = """\b
First steps:
  vclr doctor            check this installation and this machine
  make demo              train three experiments on toy scenes and compare them, on a CPU
  vclr doctor data -h    check your own data; then see `vclr train -h`
  vclr fetch -h          download published data; start with `vclr fetch coco2017 --dry-run`
"""

app = typer.Typer(
    help="View-consistent learning for open-world instance segmentation.\n\n" + FIRST_STEPS,
    invoke_without_command=True,  # it prints its help then
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

doctor = typer.Typer()  # `vclr doctor` works alone, and has verbs
app.add_typer(doctor, name="doctor")

importers = typer.Typer(help="Convert the annotations of another tool to COCO json.", no_args_is_help=True)
app.add_typer(importers, name="import")

view_verbs = typer.Typer()  # `vclr views` works alone, and has verbs
app.add_typer(view_verbs, name="views")

proposal_verbs = typer.Typer()  # `vclr proposals`, too
app.add_typer(proposal_verbs, name="proposals")

ConfigFile = Annotated[
    Path | None, typer.Option("--config-file", "-c", help="YAML file with the settings that differ from the defaults.")
]
Overrides = Annotated[list[str] | None, typer.Argument(help="Settings as key=value; see configs/README.md.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Hide the progress.")]
OutputFile = Annotated[Path, typer.Option("--output", help="File to write.")]
OutputFolder = Annotated[Path, typer.Option("--output", help="Folder to write.")]
Join = Annotated[list[Path] | None, typer.Option("--join", help="Output of a shard; repeat the option for all shards.")]
Weights = Annotated[
    str,
    typer.Option(
        metavar="|".join(WEIGHTS),
        help="Which weights of the checkpoint to use; the teacher's are a moving average of the student's "
        "(default: train.model_ema.use_ema_weights_for_eval_only).",
    ),
]
_PROTOCOL = (
    f"A published protocol ({', '.join(PROTOCOLS)}), {KNOWN} (the one of the classes that were trained on), or a group "
    "or test set of the configuration (default: evaluation.protocol)."
)
Protocol = Annotated[str, typer.Option(help=_PROTOCOL)]
Protocols = Annotated[
    list[str] | None,
    typer.Option(
        help=f"{_PROTOCOL} Repeat the option, or separate names by commas, to evaluate on several: each gets a folder "
        "of its name in the output folder."
    ),
]
ShardOption = Annotated[
    Shard | None,
    typer.Option("--shard", metavar="K/N", parser=parse_shard, help="Process only part K of N of the images."),
]


def finite(value: float | None) -> float | None:
    """Refuse "inf" and "nan", which an option for a number would take; the callback of such options."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


def load_config(path: str | Path | None, overrides: Iterable[str] = ()) -> Config:
    """Load settings; see `vclr.config.load_config`, whose import takes longer than all of `vclr --help`."""
    from vclr.config import load_config as load

    return load(path, list(overrides))


def with_weights(config: Config, weights: str) -> Config:
    """Return the configuration with other weights; see `vclr.config.with_weights`."""
    from vclr.config import with_weights as choose

    return choose(config, weights)
