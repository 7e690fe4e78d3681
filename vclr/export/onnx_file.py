"""Exported models as ONNX files, run by onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch.export import ExportedProgram

from vclr.catalog.exports import EXPORT_INPUT, EXPORT_OUTPUTS, OPSET
from vclr.errors import UserError, first_line
from vclr.export.about import KEY, About
from vclr.export.capture import refuse_grid_sample
from vclr.export.packages import import_package, quiet_exporters

SCOPES = "pkg.torch.onnx.name_scopes"  # metadata of a node: the modules that it is part of


def write_onnx(program: ExportedProgram, about: About, path: Path, opset: int = OPSET) -> None:
    """Write a program as an ONNX file of one piece.

    Raises:
        UsageError: onnx or onnxscript is not installed.
        UserError: torch cannot write it in this opset.
    """
    import torch

    for package in ("onnx", "onnxscript"):
        import_package(package)
    axes = {0: "batch"} if about.batch == 0 else {}
    axes |= {2: "height", 3: "width"} if about.size is None else {}
    with quiet_exporters():
        try:
            written = torch.onnx.export(
                program,
                (),
                input_names=[EXPORT_INPUT],
                output_names=EXPORT_OUTPUTS[about.processing],
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # torch's exporter raises many kinds
            raise UserError(f"--opset {opset}: torch cannot write this model: {first_line(error)}") from error
        assert written is not None
        graphs = written.model.graph, *(function.graph for function in written.model.functions.values())
        for node in (node for graph in graphs for node in graph.all_nodes()):
            for key in [
                key for key in node.metadata_props if key != SCOPES
            ]:  # source lines, with folders of this machine
                del node.metadata_props[key]
        written.save(path, external_data=False)


def describe_onnx(path: Path, about: About) -> None:
    """Store the description in the file."""
    onnx = import_package("onnx")
    model = onnx.load(path)
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=KEY, value=json.dumps(about.as_json()))
    onnx.save(model, path)


def read_about(path: Path) -> About | None:
    """Return the description of a file; None if `vclr export` did not write it."""
    onnx = import_package("onnx")
    described = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    return About.from_json(json.loads(described[KEY])) if KEY in described else None


def list_operations(path: Path) -> list[str]:
    """Return the type of each operation, also in loops."""
    onnx = import_package("onnx")

    def visit(nodes: Any) -> list[str]:
        found = []
        for node in nodes:
            found.append(node.op_type)
            for attribute in node.attribute:
                found += visit(attribute.g.node)
        return found

    model = onnx.load(path)
    return visit(model.graph.node) + [kind for function in model.functions for kind in visit(function.node)]


class OnnxModel:
    """An ONNX file in onnxruntime, on the CPU."""

    def __init__(self, path: Path, num_threads: int = 0) -> None:
        """Open a file; 0 threads are onnxruntime's default."""
        onnxruntime = import_package("onnxruntime")
        refuse_grid_sample(list_operations(path))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3  # errors; warnings are about its own optimization
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the binding has an exception of its own for each status
            raise UserError(f"{path}: onnxruntime cannot open it: {first_line(error)}") from error

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, {EXPORT_INPUT: images}), strict=True))
