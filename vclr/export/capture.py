"""Capture the detector's graph with torch.export, for one size or for all sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from vclr.catalog.exports import INSIDE, MAX_BATCH, MAX_SIDE
from vclr.errors import UsageError
from vclr.export.about import About
from vclr.export.graph import build_graph
from vclr.export.packages import quiet_exporters
from vclr.models.detector import Detector
from vclr.ops.plain import plain_operations

TRACED_BATCH = 2  # of one image, torch would take the number for fixed
FORBIDDEN = "gridsample"  # in the name of an operation, without underscores


@torch.no_grad()
def capture(detector: Detector, about: About) -> ExportedProgram:
    """Return the program of a detector; it takes and returns what `vclr.export.graph` says.

    `about` names processing, size and batch. If they are not fixed, its limits are filled in.

    Raises:
        UsageError: the size is not fixed, which the backbone needs.
    """
    if about.size is None and getattr(detector.backbone, "needs_fixed_size", False):
        name = detector.config.backbone.name
        raise UsageError(f"model.backbone.name={name}: is exported for one size only; give --size HEIGHTxWIDTH")
    stride = _coarsest_stride(detector)
    batch, size = about.batch or TRACED_BATCH, about.size or (3 * stride, 4 * stride)
    images = example(about, batch, *size).to(detector.pixel_mean.device)
    dynamic: dict[int, Any] = {}
    if about.size is None:
        # Torch takes a side of one cell for fixed, so every side of every level has at least two.
        about.min_side, about.max_side = stride + 1, MAX_SIDE
        limits = {"min": about.min_side, "max": about.max_side}
        dynamic |= {2: Dim("height", **limits), 3: Dim("width", **limits)}
    if about.batch == 0:
        about.max_batch = MAX_BATCH
        dynamic[0] = Dim("batch", min=1, max=MAX_BATCH)
    detector.requires_grad_(False)  # outputs of the program would carry gradients
    with plain_operations(), quiet_exporters():
        graph = build_graph(detector, about.processing)
        program = torch.export.export(graph, (images,), dynamic_shapes={"images": dynamic or None}, strict=False)
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)  # source lines, with folders of this machine
    refuse_grid_sample(str(node.target) for node in program.graph.nodes)
    return program


def _coarsest_stride(detector: Detector) -> int:
    """Return how many pixels a cell of the coarsest level is wide, also of one that the neck leaves out."""
    side = 256
    (features,) = detector.backbone([torch.zeros(1, 3, side, side, device=detector.pixel_mean.device)])
    return side // min(int(level.shape[-1]) for level in (*features, *detector.neck(features)))


def example(about: About, batch: int, height: int, width: int) -> Tensor:
    """Return gray images of the type that the graph takes."""
    shape = batch, 3, height, width
    return torch.full(shape, 127, dtype=torch.uint8) if about.processing == INSIDE else torch.zeros(shape)


def refuse_grid_sample(operations: Iterable[str]) -> None:
    """Fail if one of the names of operations is that of `grid_sample`, which runtimes compute differently."""
    found = [name for name in operations if FORBIDDEN in name.lower().replace("_", "")]
    assert not found, f"the graph holds {found[0]}"
