"""The verb predict: photos and videos in, objects out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vclr.catalog.annotation_tools import ANNOTATION_TOOLS
from vclr.cli.checkpoints import CHECKPOINTS, as_path
from vclr.cli.options import Quiet, Weights, app, finite
from vclr.errors import UsageError


@app.command()
def predict(
    images: Annotated[
        list[str],  # as they were typed: a path would lose a slash of https://
        typer.Argument(metavar="IMAGE...", help="Photos, folders of photos, videos, or patterns ('photos/**/*.jpg')."),
    ],
    checkpoint: Annotated[Path, typer.Option(help=f"Detector: weights of the reference, {CHECKPOINTS}.")],
    output: Annotated[Path, typer.Option("--output", help="Folder for the results.")],
    min_score: Annotated[
        float,
        typer.Option(
            callback=finite, help="Minimum score of objects that are drawn and pre-annotated; the json has all objects."
        ),
    ] = 0.3,
    max_objects: Annotated[
        int,
        typer.Option(min=0, help="Maximum number of objects per photo that are drawn and pre-annotated, best first."),
    ] = 12,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME,...",
            help="Also write the drawn objects for annotation tools: "
            f"{'; '.join(f'{name} ({what})' for name, what in ANNOTATION_TOOLS.items())}.",
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="With --format: class of all objects (default: object).")] = None,
    photo_url: Annotated[
        str,
        typer.Option(
            metavar="PREFIX",
            help="With --format labelstudio: what precedes a photo's name in its address "
            "(default: /data/local-files/?d= and the photo's folder).",
        ),
    ] = "",
    batch_size: Annotated[
        int, typer.Option(min=1, help="Number of photos, or of tiles, that are searched together.")
    ] = 1,
    dtype: Annotated[
        str,
        typer.Option(
            metavar="auto|float32|bfloat16",
            help="Number format; bfloat16 is faster on GPUs (default: evaluation.dtype of the configuration).",
        ),
    ] = "auto",
    tile: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Search photos larger than this also in overlapping tiles of this side, and in larger ones. Choose "
            "about the size of a usual photo with objects of the same size, such as 1024: a tile is resized like one.",
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(
            callback=finite,
            help="With --tile: share of its side that a tile has in common with the next (default: 0.5).",
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Also search the mirror image: slower, and finds more.")] = False,
    every: Annotated[
        int, typer.Option(min=1, metavar="N", help="Of videos, search every N-th frame; all frames are drawn.")
    ] = 1,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1 ...")] = "auto",
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config-file",
            "-c",
            help="YAML file for weights without a configuration (default: the published one), or that of their model "
            "of detectron2 or detrex.",
        ),
    ] = None,
    weights: Weights = "",
    quiet: Quiet = False,
) -> None:
    """Find the objects in photos: write a json and an overlay picture per photo, and pre-annotations with --format.

    The picture shows the best objects, each once. A video gets a json line per frame and an overlay video. Results need
    a folder of their own and never replace other files. A photo that cannot be read gets one line on stderr; the others
    go on, and the exit code is 1. See docs/predict.md.
    """
    from vclr.evaluation.finder import Search
    from vclr.evaluation.predict import OBJECT_NAMING, predict_files
    from vclr.evaluation.tiled import Tiling
    from vclr.pre_annotations.photo import Naming
    from vclr.pre_annotations.write import read_formats

    if not 0 <= min_score <= 1:
        raise UsageError(f"--min-score {min_score:g}: must be from 0 to 1")
    chosen = read_formats(formats or ())
    if label is not None and not label.strip():
        raise UsageError(f"--label {label!r}: is empty; leave it out or name a class")
    if label and not chosen:
        raise UsageError(f"--label {label}: needs --format")
    if photo_url and "labelstudio" not in chosen:
        raise UsageError(f"--photo-url {photo_url}: needs --format labelstudio")
    if overlap is not None and tile is None:
        raise UsageError(f"--overlap {overlap:g}: needs --tile")
    tiling = None
    if tile is not None:
        tiling = Tiling(tile) if overlap is None else Tiling(tile, overlap)
    predict_files(
        images,
        as_path(checkpoint),
        output,
        min_score,
        device,
        config_file,
        max_objects,
        weights,
        chosen,
        Naming(label or OBJECT_NAMING.label, photo_url),
        Search(batch_size, dtype, tiling, flip),
        every,
        quiet,
    )
