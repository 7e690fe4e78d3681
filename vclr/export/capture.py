"""Capture the detector's graph with torch.export, for one size or for all sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from vclr.catalog.exports import INSIDE
from vclr.export.about import About
from vclr.export.graph import build_graph
from vclr.models.detector import Detector
from vclr.ops.plain import plain_operations

MIN_SIDE, MAX_SIDE, MAX_BATCH = 64, 4096, 64  # of dynamic sizes
# Not used elsewhere: sides and batches of 1 or of equal size would be taken for fixed ones.
TRACED_BATCH, TRACED_SIZE = 2, (128, 160)
FORBIDDEN = "gridsample"  # in the name of an operation, without underscores


@torch.no_grad()
def capture(detector: Detector, about: About) -> ExportedProgram:
    """Return the program of a detector; it takes and returns what `vclr.export.graph` says.

    `about` names processing, size and batch. If they are not fixed, its limits are filled in.
    """
    batch, size = about.batch or TRACED_BATCH, about.size or TRACED_SIZE
    images = example(about, batch, *size).to(detector.pixel_mean.device)
    dynamic: dict[int, Any] = {}
    if about.size is None:
        about.min_side, about.max_side = MIN_SIDE, MAX_SIDE
        dynamic |= {2: Dim("height", min=MIN_SIDE, max=MAX_SIDE), 3: Dim("width", min=MIN_SIDE, max=MAX_SIDE)}
    if about.batch == 0:
        about.max_batch = MAX_BATCH
        dynamic[0] = Dim("batch", min=1, max=MAX_BATCH)
    with plain_operations():
        graph = build_graph(detector, about.processing)
        program = torch.export.export(graph, (images,), dynamic_shapes={"images": dynamic or None}, strict=False)
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)  # source lines, with folders of this machine
    refuse_grid_sample(str(node.target) for node in program.graph.nodes)
    return program


def example(about: About, batch: int, height: int, width: int) -> Tensor:
    """Return gray images of the type that the graph takes."""
    shape = batch, 3, height, width
    return torch.full(shape, 127, dtype=torch.uint8) if about.processing == INSIDE else torch.zeros(shape)


def refuse_grid_sample(operations: Iterable[str]) -> None:
    """Fail if one of the names of operations is that of `grid_sample`, which runtimes compute differently."""
    found = [name for name in operations if FORBIDDEN in name.lower().replace("_", "")]
    assert not found, f"the graph holds {found[0]}"
