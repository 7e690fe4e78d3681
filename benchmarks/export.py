"""Exported files beside the detector that they came from: seconds per image of 480x640."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import compare
from vclr.config import load_config
from vclr.export.about import About
from vclr.export.capture import capture
from vclr.export.exported import Exported
from vclr.export.onnx_file import write_onnx
from vclr.export.torch_file import write_torch
from vclr.export.write import ExportRequest, describe
from vclr.models.build import build_model
from vclr.models.detector import Detector

SIZE = (480, 640)


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config-file", default="configs/experiment/voc_to_nonvoc.yaml", help="the model; random weights"
    )
    parser.add_argument("--runs", type=int, default=3, help="number of timed runs")
    parser.add_argument("--threads", type=int, default=1, help="number of threads of torch and of onnxruntime")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    config = load_config(options.config_file)
    detector = build_model(config).eval()
    request = ExportRequest("torch", "beside", SIZE, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, *SIZE), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        about = describe(detector, config, request)
        program = capture(detector, about)
        write_torch(program, Path(folder) / "model.pt2")
        onnx = About(**{**vars(about), "format": "onnx"})
        write_onnx(program, onnx, Path(folder) / "model.onnx")
        del program
        files = {
            "onnxruntime": Exported(Path(folder) / "model.onnx", onnx, options.threads),
            "torch.export": Exported(Path(folder) / "model.pt2", about),
        }
        variants = {"the detector": lambda: _detect(detector, pixels)}
        variants |= {name: lambda exported=exported: exported.run(pixels) for name, exported in files.items()}
        title = f"exported files, 1 image of {SIZE[0]}x{SIZE[1]}, {config.model.num_queries} queries, raw outputs"
        compare(title, variants, options.runs)


@torch.no_grad()
def _detect(detector: Detector, pixels: np.ndarray) -> object:
    images = torch.from_numpy(pixels)
    return detector(detector.normalize(images, [SIZE]), [SIZE])


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
