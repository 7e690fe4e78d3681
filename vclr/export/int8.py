"""Quantize the linear and convolution layers of an ONNX file to int8, and measure what that costs in recall.

Weights are int8 per channel, activations 8 bits with a range that calibration photos show. What decides where queries
look and how cells and queries are ranked stays float32: a small error there is another detection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vclr.catalog.exports import EXPORT_INPUT, INSIDE
from vclr.coco.annotations import Json, load_coco
from vclr.data.images import ImageList
from vclr.errors import UserError
from vclr.evaluation.inference import to_coco_results
from vclr.evaluation.recall import score
from vclr.export.about import About
from vclr.export.exported import Exported, normalize
from vclr.export.onnx_file import SCOPES
from vclr.export.packages import import_package, quiet_exporters

NUM_CALIBRATION = 16  # photos on which the ranges of activations are measured, the first ones
MAX_MEASURED = 200  # photos on which recall is measured, after those
# Modules that stay in float32, by a part of their names.
FLOAT_MODULES = ("class_embed", "bbox_embed", "sampling_offsets", "attention_weights", "reference_point_head")
RECALLS = ("box_ar@100", "mask_ar@100")


@dataclass
class Int8Request:
    """How to quantize.

    Attributes:
        annotations: COCO json of photos with objects.
        images: their folder, or its zip.
        max_loss: points of recall that may be lost, of boxes and of masks.
    """

    annotations: Path
    images: Path
    max_loss: float = 1.0


def quantize(path: Path, about: About, request: Int8Request) -> dict[str, Any]:
    """Replace a float32 file by one in int8.

    Returns:
        The recall of both, the `loss` in points (the larger of boxes and masks), the sizes of the files, and `said`,
        a line for the user.

    Raises:
        UserError: the annotations or photos cannot be read, or are too few to calibrate and to measure.
    """
    truth = load_coco(request.annotations, request.images)
    entries = truth["images"]
    if len(entries) < 2:
        raise UserError(
            f"{request.annotations}: lists {len(entries)} photos; int8 needs some to calibrate and to measure"
        )
    num_calibration = min(NUM_CALIBRATION, len(entries) // 2)
    calibration, measured = np.split(np.array(entries, object)[: num_calibration + MAX_MEASURED], [num_calibration])
    exported = Exported(path, about)
    before = _measure(exported, truth, measured.tolist(), request.images)
    quantized = path.with_suffix(".int8.onnx")
    try:
        layers = _quantize(path, quantized, about, exported, calibration.tolist(), request.images)
        after = _measure(Exported(quantized, about), truth, measured.tolist(), request.images)
        sizes = path.stat().st_size, quantized.stat().st_size
        quantized.replace(path)
    finally:
        quantized.unlink(missing_ok=True)
    loss = max(before[name] - after[name] for name in before)
    recalls = ", ".join(f"{name} {before[name]:.2f} -> {after[name]:.2f}" for name in before)
    return {
        "said": f"int8: {layers} layers; {recalls} on {len(measured)} photos; "
        f"{sizes[0] / 1e6:.1f} -> {sizes[1] / 1e6:.1f} MB",
        "layers": layers,
        "photos": len(measured),
        "calibration_photos": num_calibration,
        "float32": before,
        "int8": after,
        "loss": loss,
        "bytes": list(sizes),
    }


def _measure(exported: Exported, truth: Json, entries: Sequence[Json], folder: Path) -> dict[str, float]:
    """Return the recalls on photos, in percent; without those that the annotations do not allow."""
    ids = {entry["id"] for entry in entries}
    own = [annotation for annotation in truth["annotations"] if annotation["image_id"] in ids]
    results = [
        result
        for entry, photo in zip(entries, _read(entries, folder), strict=True)
        for result in to_coco_results(exported.predict(photo), entry["id"])
    ]
    metrics = score({**truth, "images": list(entries), "annotations": own}, results)
    return {name: metrics[name] for name in RECALLS if metrics[name] is not None}


def _read(entries: Sequence[Json], folder: Path) -> Iterator[np.ndarray]:
    """Yield the photos (h, w, 3) uint8 RGB."""
    photos = ImageList(str(folder), list(entries))
    for number in range(len(photos)):
        yield np.asarray(photos.open(number))


def _quantize(
    path: Path, quantized: Path, about: About, exported: Exported, entries: Sequence[Json], folder: Path
) -> int:
    """Write the file in int8; return the number of layers."""
    onnx, quantization = import_package("onnx"), import_package("onnxruntime.quantization")
    layers = choose_layers(onnx.load(path).graph)
    photos = _read(entries, folder)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def get_next(self) -> dict[str, np.ndarray] | None:
            photo = next(photos, None)
            if photo is None:
                return None
            pixels = exported.resize(photo)[None].repeat(about.batch or 1, 0)
            return {EXPORT_INPUT: pixels if about.processing == INSIDE else normalize(pixels, about)}

    with quiet_exporters():
        quantization.quantize_static(
            path,
            quantized,
            Reader(),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            nodes_to_quantize=layers,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
        )
    return len(layers)


def choose_layers(graph: Any) -> list[str]:
    """Return the names of the convolutions and linear layers that can be quantized: those with weights."""
    weights = {initializer.name for initializer in graph.initializer if len(initializer.dims) > 1}
    chosen = []
    for node in graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "")
        is_layer = node.op_type in ("Conv", "MatMul", "Gemm") and node.input[1] in weights
        if is_layer and not any(name in scopes for name in FLOAT_MODULES):
            chosen.append(node.name)
    return chosen
