"""`vclr serve`: a web page on which a detector can be tried."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vclr.cli.checkpoints import CHECKPOINTS, as_path
from vclr.cli.options import Weights, app, finite
from vclr.errors import UsageError

MAX_DETECTORS = 2


@app.command()
def serve(
    checkpoint: Annotated[
        list[Path],
        typer.Option(help=f"Detector: weights of the reference, {CHECKPOINTS}. Give the option twice to compare two."),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines open the page, with a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    token: Annotated[
        str,
        typer.Option(
            envvar="VCLR_TOKEN",
            show_envvar=False,
            help="What visitors must know. Other users of this machine can read it on the command line, but not in "
            "the variable VCLR_TOKEN (default: none for this machine alone, else a random one).",
        ),
    ] = "",
    max_upload_mb: Annotated[
        float, typer.Option(min=0.001, callback=finite, help="Maximum size of a photo's file, in MB.")
    ] = 20,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, callback=finite, help="Maximum size of a photo, in million pixels.")
    ] = 64,
    queue: Annotated[
        int, typer.Option(min=0, help="Number of photos that may wait; further visitors are asked to try again.")
    ] = 32,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1 ...")] = "auto",
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config-file", "-c", help="YAML file for weights without a configuration (default: the published one)."
        ),
    ] = None,
    weights: Weights = "",
) -> None:
    """Open a web page on which a detector, or two beside each other, can be tried on photos.

    It works offline. Photos are kept in memory while they are worked on, and nowhere else. See docs/serve.md.
    """
    if len(checkpoint) > MAX_DETECTORS:
        raise UsageError(f"--checkpoint: the page compares at most {MAX_DETECTORS}; {len(checkpoint)} are given")
    from vclr.serve.app import Limits
    from vclr.serve.server import serve as run_server

    limits = Limits(round(max_upload_mb * 1e6), round(max_megapixels * 1e6), queue)
    files = [as_path(one) for one in checkpoint]
    run_server(files, host, port, token, limits, device, config_file, weights)
