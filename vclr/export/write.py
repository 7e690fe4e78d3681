"""`vclr export`: write a detector as a file of another runtime, check the file, and store what the check found."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import vclr
from vclr.catalog.exports import INSIDE, OPSET
from vclr.config import Config, evaluated_weights
from vclr.errors import UsageError, UserError
from vclr.evaluation.photo_arguments import find_photos
from vclr.export.about import About
from vclr.export.capture import capture
from vclr.export.exported import Exported, read_about
from vclr.export.int8 import Int8Request, quantize
from vclr.export.limits import check_memory
from vclr.export.onnx_file import describe_onnx, write_onnx
from vclr.export.packages import import_package
from vclr.export.parity import BatchParity, check_parity
from vclr.export.torch_file import describe_torch, write_compiled, write_torch
from vclr.files import identify, write_json
from vclr.generate.toy import render_scene
from vclr.models.detector import Detector
from vclr.models.ready import open_detector
from vclr.models.weights import find_checkpoint
from vclr.pictures import read_image
from vclr.structures import Size

log = logging.getLogger("vclr.export")

NUM_SCENES = 3  # toy scenes on which a file is checked without photos


@dataclass
class ExportRequest:
    """What to write.

    Attributes:
        format: of `EXPORT_FORMATS`.
        processing: inside or beside the graph.
        size: (height, width) of the images; None: any.
        batch: number of images; 0: any.
        opset: of ONNX.
        int8: quantize the linear and convolution layers; None: keep float32.
    """

    format: str
    processing: str = INSIDE
    size: Size | None = None
    batch: int = 0
    opset: int = OPSET
    int8: Int8Request | None = None


def write_export(
    checkpoint: Path,
    output: Path,
    request: ExportRequest,
    photos: Sequence[str | Path] = (),
    device: str = "auto",
    config_file: Path | None = None,
    weights: str = "",
) -> About:
    """Write a file and, beside it, `<name>.json` with what the file says about itself.

    The file gets its name when its parity holds. Otherwise it keeps the ending `.failed`, with the json beside it.

    Args:
        checkpoint: as for `open_detector`.
        output: the file.
        request: what to write.
        photos: the photos to check the file on; toy scenes without.
        device: auto, cpu, cuda ...; an ONNX file does not depend on it.
        config_file: as for `open_detector`.
        weights: as for `open_detector`.

    Raises:
        UserError: the file does not do what the detector does, or does not find as much in int8; or one of those of
            `open_detector`, the formats and the photos.
        UsageError: a package of the extra is missing, another program wrote the file that is to be replaced, or the
            check does not fit into memory.
    """
    if request.format == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            import_package(package)
    _refuse_others(output)
    pictures = [read_image(photo) for photo in find_photos(photos)] if photos else draw_scenes()
    pictures += draw_nothing()
    detector, config = open_detector(checkpoint, "cpu" if request.format == "onnx" else device, config_file, weights)
    if config.detectron2.config:
        raise UsageError(f"{checkpoint}: holds a model of detectron2; export it with detectron2's own tools")
    about = describe(detector, config, request)
    check_memory(about, config.model.num_queries)
    about.checkpoint = identify(find_checkpoint(checkpoint)) | {"weights": evaluated_weights(config)}
    output.parent.mkdir(parents=True, exist_ok=True)
    # A folder of a new name, because torch asks for the ending .pt2, and int8 writes files beside its own.
    with TemporaryDirectory(prefix=f".{output.name}.", suffix=".partial", dir=output.parent) as folder:
        work = Path(folder) / ("model.onnx" if request.format == "onnx" else "model.pt2")
        return _write(detector, about, request, pictures, work, output)


def _refuse_others(output: Path) -> None:
    """Refuse to replace what is no export, such as a checkpoint, whose first bytes are those of a program of torch."""
    if output.exists():
        try:
            read_about(output)
        except UserError as error:
            raise UsageError(f"--output {error}; choose another name") from None


def _write(
    detector: Detector,
    about: About,
    request: ExportRequest,
    pictures: Sequence[np.ndarray],
    work: Path,
    output: Path,
) -> About:
    log.info("capturing the graph")
    program = capture(detector, about)
    log.info("writing %s", output)
    if request.format == "onnx":
        write_onnx(program, about, work, request.opset)
    else:
        (write_torch if request.format == "torch" else write_compiled)(program, work)
    log.info("checking the file")
    checked = check_parity(detector, Exported(work, about), pictures)
    for one in checked:
        print(one.describe(), flush=True)
    about.parity = {"holds": all(one.holds for one in checked), "batches": [one.as_json() for one in checked]}
    problem = _explain(checked)
    if request.int8 and not problem:
        about.int8 = quantize(work, about, request.int8)
        print(about.int8["said"], flush=True)
        if about.int8["loss"] > request.int8.max_loss:
            problem = f"int8 loses {about.int8['loss']:.1f} points of recall; --max-loss is {request.int8.max_loss:g}"
    (describe_onnx if request.format == "onnx" else describe_torch)(work, about)
    place = output if not problem else output.with_name(f"{output.name}.failed")
    work.replace(place)
    write_json(place.with_name(f"{place.name}.json"), about.as_json(), indent=1)
    if problem:
        raise UserError(
            f"{output}: {problem}; the file is kept as {place.name}, what was measured in {place.name}.json"
        )
    return about


def _explain(checked: Sequence[BatchParity]) -> str:
    """Say what does not hold; "" if all does."""
    failed = [one for one in checked if not one.holds]
    return f"the file does not do what the detector does: {failed[0].describe()}" if failed else ""


def describe(detector: Detector, config: Config, request: ExportRequest) -> About:
    """Return what a file will say about itself, before it is checked."""
    mapper, model = config.dataloader.test.mapper, detector.config
    versions = {"vclr": vclr.__version__, "torch": torch.__version__}
    if request.format == "onnx":
        versions |= {name: import_package(name).__version__ for name in ("onnx", "onnxscript", "onnxruntime")}
        versions["opset"] = str(request.opset)
    return About(
        format=request.format,
        short_edge=mapper.short_edge_length,
        max_size=mapper.max_size,
        mean=list(model.pixel_mean),
        std=list(model.pixel_std),
        max_detections=model.select_box_nums_for_evaluation,
        nms_threshold=model.nms_thresh,
        processing=request.processing,
        size=request.size,
        batch=request.batch,
        device=str(detector.pixel_mean.device),
        versions=versions,
    )


def draw_scenes() -> list[np.ndarray]:
    """Return toy scenes (h, w, 3) uint8 RGB."""
    return [render_scene(0, number, "val", 256).natural for number in range(NUM_SCENES)]


def draw_nothing() -> list[np.ndarray]:
    """Return noise and black (h, w, 3) uint8 RGB, in which masks may be empty."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    return [noise, np.zeros_like(noise)]
