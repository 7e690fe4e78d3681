"""The verb that writes a detector for other runtimes: export."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from vclr.catalog.exports import (
    BESIDE,
    EXPORT_FORMATS,
    INSIDE,
    MAX_BATCH,
    MAX_OPSET,
    MAX_SIDE,
    MIN_FIXED_SIDE,
    OPSET,
)
from vclr.cli.checkpoints import CHECKPOINTS, as_path
from vclr.cli.options import OutputFile, Weights, app, finite
from vclr.errors import UsageError, nearest
from vclr.outputs import check_output_file

FORMATS = "; ".join(f"{name}: {what}" for name, what in EXPORT_FORMATS.items())
EXPORT_STARTS = (b"PK\x03\x04", b"\x08")  # of a program of torch; of an ONNX file
ABOUT_KEYS = ("nms_threshold",)  # of the json beside a file
DEFAULT_MAX_LOSS = 1.0


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Option(help=f"Detector: weights of the reference, {CHECKPOINTS}.")],
    output: OutputFile,
    format_: Annotated[str, typer.Option("--format", help=f"What to write. {FORMATS}.")] = "onnx",
    size: Annotated[
        str,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Size of the images, for example 480x640; sides are from "
            f"{MIN_FIXED_SIDE} to {MAX_SIDE} (default: any size).",
        ),
    ] = "",
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Take images of any size, which is the default.")] = False,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_BATCH, help="Number of images at once (default: 1 with --size, otherwise any number)."
        ),
    ] = None,
    processing: Annotated[
        str,
        typer.Option(
            metavar=f"{INSIDE}|{BESIDE}",
            help="Whether the file normalizes images and chooses detections, or takes normalized images and returns "
            "the detector's raw outputs. Resizing photos and masks is never part of it.",
        ),
    ] = INSIDE,
    opset: Annotated[
        int | None,
        typer.Option(
            help=f"With --format onnx: version of its operations, from {OPSET} to {MAX_OPSET} (default: {OPSET})."
        ),
    ] = None,
    photos: Annotated[
        list[str] | None,
        typer.Option(
            "--photo", help="Photo, or folder of photos, to check the file on; repeatable (default: toy scenes)."
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="With --format onnx: quantize the linear and convolution layers, and measure the loss in recall.",
        ),
    ] = False,
    annotations: Annotated[
        Path | None, typer.Option(help="With --int8: COCO json of the photos to calibrate and to measure on.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="With --int8: folder of these photos.")] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help=f"With --int8: points of recall (AR@100) that may be lost (default: {DEFAULT_MAX_LOSS:g}).",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device that a program of torch is for: auto, cpu, cuda, cuda:1 ...")
    ] = "auto",
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config-file", "-c", help="YAML file for weights without a configuration (default: the published one)."
        ),
    ] = None,
    weights: Weights = "",
) -> None:
    """Write a detector as a file for other runtimes, and check the file against the detector.

    The check compares outputs, detections and masks, on three sizes and one and two images if the file takes them. The
    result is printed, stored in the file, and written to OUTPUT.json. If it does not hold, the command fails, and
    the file is kept as OUTPUT.failed. See docs/export.md.
    """
    _check_names(format_, processing)
    fixed = _parse_size(size)
    if fixed and dynamic:
        raise UsageError(f"--size {size}: contradicts --dynamic; give one of them")
    if format_ != "onnx" and (int8 or opset is not None):
        raise UsageError(f"--{'int8' if int8 else 'opset'}: needs --format onnx")
    if opset is not None and not OPSET <= opset <= MAX_OPSET:
        raise UsageError(f"--opset {opset}: must be from {OPSET} to {MAX_OPSET}")
    if format_ == "onnx" and device not in ("auto", "cpu"):
        raise UsageError(f"--device {device}: an ONNX file does not depend on it; leave it out")
    given = {"--annotations": annotations, "--images": images}
    of_int8 = {**given, "--max-loss": max_loss}
    if not int8 and (unused := [name for name in of_int8 if of_int8[name] is not None]):
        raise UsageError(f"{unused[0]}: needs --int8")
    inputs = {"--checkpoint": checkpoint, "--photo": [Path(photo) for photo in photos or ()], **given}
    check_output_file(output, inputs, starts=EXPORT_STARTS, suffix=".onnx" if format_ == "onnx" else ".pt2")
    for ending, starts in ((".json", ()), (".failed", EXPORT_STARTS), (".failed.json", ())):
        beside = output.with_name(f"{output.name}{ending}")
        check_output_file(beside, inputs, () if starts else ABOUT_KEYS, starts, "the file beside --output,")
    quantization = None
    from vclr.export.int8 import Int8Request
    from vclr.export.write import ExportRequest, write_export

    if int8:
        if annotations is None or images is None:
            raise UsageError("--int8: needs --annotations and --images, to calibrate and to measure the loss in recall")
        quantization = Int8Request(annotations, images, DEFAULT_MAX_LOSS if max_loss is None else max_loss)
    number = batch or (1 if fixed else 0)
    request = ExportRequest(format_, processing, fixed, number, opset or OPSET, quantization)
    write_export(as_path(checkpoint), output, request, photos or (), device, config_file, weights)
    print(f"{output}: written and checked")


def _check_names(format_: str, processing: str) -> None:
    for option, given, allowed in (
        ("--format", format_, tuple(EXPORT_FORMATS)),
        ("--processing", processing, (INSIDE, BESIDE)),
    ):
        if given not in allowed:
            raise UsageError(
                f"{option} {given}: must be {' or '.join(allowed)}; did you mean {nearest(given, allowed)}?"
            )


def _parse_size(size: str) -> tuple[int, int] | None:
    """Return (height, width); None for an empty text."""
    if not size:
        return None
    match = re.fullmatch(r"(\d{1,5})[xX,](\d{1,5})", size)
    if match is None:
        raise UsageError(f"--size {size}: must be HEIGHTxWIDTH, for example 480x640")
    height, width = int(match[1]), int(match[2])
    if not MIN_FIXED_SIDE <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise UsageError(f"--size {size}: each side must be from {MIN_FIXED_SIDE} to {MAX_SIDE} pixels")
    return height, width
