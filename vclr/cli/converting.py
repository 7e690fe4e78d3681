"""The verb `convert`: weights, trainings and configurations between vclr, the reference, detectron2 and backbones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vclr.catalog.layouts import CONFIG_LAYOUTS, VCLR, WEIGHT_LAYOUTS
from vclr.cli.examples import EXAMPLES
from vclr.cli.options import ConfigFile, OutputFile, Overrides, app
from vclr.errors import UsageError
from vclr.outputs import CHECKPOINT_STARTS, check_output_file


@app.command()
def convert(
    output: OutputFile,
    source: Annotated[
        str | None,
        typer.Argument(
            help="Weights of vclr, of the reference, or of a backbone (.pth, .pkl). With --config, the first setting.",
            show_default=False,
        ),
    ] = None,  # text, because a path would lose a slash of `tracking.uri=http://...`
    overrides: Overrides = None,
    to: Annotated[
        str,
        typer.Option(help=f"Layout to write: {', '.join(WEIGHT_LAYOUTS)}; with --config {', '.join(CONFIG_LAYOUTS)}."),
    ] = "vclr",
    config_file: ConfigFile = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Convert this configuration instead: a YAML file, or a LazyConfig (.py), which is executed."),
    ] = None,
) -> None:
    """Convert weights, an unfinished training or a configuration to the layout of another program, or to vclr's.

    Values of a configuration that the other layout cannot hold are listed, and kept in comments for the way back. See
    docs/detectron2.md.
    """
    if config is not None:
        settings = [*([] if source is None else [source]), *(overrides or ())]  # the first takes the place of SOURCE
        if wrong := [setting for setting in settings if "=" not in setting]:
            raise UsageError(
                f"{wrong[0]}: --config converts a configuration alone, with settings as key=value; leave it out"
            )
        if config_file is not None:
            raise UsageError("--config: converts a configuration alone; leave --config-file out")
        from vclr.interop.convert_config import convert_config

        check_output_file(output, {"--config": config}, suffix=".yaml" if to == VCLR else ".py")
        lines = convert_config(config, output, to, settings)
        print("\n".join([f"{output}: converted from {config}", *lines]))
        return
    if source is None:
        raise UsageError(f"convert: needs weights, or --config; example: {EXAMPLES['convert']}")
    from vclr.engine.convert import convert as convert_weights

    check_output_file(output, {"SOURCE": source, "--config-file": config_file}, starts=CHECKPOINT_STARTS, suffix=".pt")
    print(f"{output}: {convert_weights(Path(source), output, to, config_file, overrides or ())}")
