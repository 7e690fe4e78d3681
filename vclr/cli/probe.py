"""The verb `probe`: what a detector finds if only the appearance of the test set changes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from vclr.catalog.views import CONTROLS, PROBE_VIEWS
from vclr.cli.checkpoints import CHECKPOINTS, as_path
from vclr.cli.evaluating import load_detector, settings_of
from vclr.cli.options import (
    ConfigFile,
    OutputFolder,
    Overrides,
    Protocol,
    Quiet,
    Weights,
    app,
    load_config,
    with_weights,
)
from vclr.engine.launched import read_place
from vclr.errors import UsageError
from vclr.outputs import PROBE, check_output_folder


@app.command()
def probe(
    output: OutputFolder,
    checkpoint: Annotated[Path, typer.Option(help=f"What to probe: {CHECKPOINTS}.")],
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    views: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Renderings beside the photos: folders of data.test.views, computed views, and the control "
            f"{', '.join(CONTROLS)} (default: {', '.join(PROBE_VIEWS[1:])}, and all other folders).",
        ),
    ] = "",
    weights: Weights = "",
    protocol: Protocol = "",
    quiet: Quiet = False,
) -> None:
    """Evaluate a detector on renderings of the test set that change how objects look: write probe.json and probe.png.

    The table and the picture show how much of the photos' recall each rendering keeps, with 95 % intervals; the mean
    over the renderings except the control, which is the appearance invariance; and the cosine between the queries of an
    object in rendering and photo. Each rendering takes as long as an evaluation. See docs/method.md.
    """
    own = settings_of([protocol] if protocol else [])
    config = with_weights(load_config(config_file, [*(overrides or ()), *own]), weights)
    if config.detectron2.config:
        raise UsageError(f"probe: compares queries, and detectron2.config={config.detectron2.config} has none")
    names = [name.strip() for name in views.split(",")] if views else []
    place = read_place()
    if place and place.world_size > 1:
        raise UsageError(f"probe: runs in one process, WORLD_SIZE={place.world_size} in the environment says otherwise")
    from vclr.evaluation.probe import check_picture, open_renderings
    from vclr.evaluation.probe import probe as run_probe
    from vclr.evaluation.probe_table import format_probe
    from vclr.models.weights import find_checkpoint

    checkpoint = as_path(checkpoint, config.tracking.uri)
    inputs: dict[str, Any] = {"data.test.annotations": config.data.test.annotations, "--checkpoint": checkpoint}
    check_output_folder(output, inputs | {"--config-file": config_file}, PROBE)
    check_picture(output)
    from vclr.data.readiness import check_test_set

    check_test_set(config)
    shown, left_out = open_renderings(config, names)  # before the checkpoint is read, which takes long
    for view, reason in left_out.items():
        logging.getLogger("vclr").warning("%s: %s", view, reason)
    from vclr.device import choose_device

    device = choose_device(config.train.device)
    model, described = load_detector(config, find_checkpoint(checkpoint), device, "probing")
    result = run_probe(model, config, shown, left_out, output, quiet, described)
    from vclr.tracking.results import store_probe

    print(output / "probe.png")
    print(format_probe(result))
    store_probe(config, result, output / "probe.png")
