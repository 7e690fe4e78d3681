"""Finding objects: a batch as evaluation does it, and a photo as `vclr.predict` does it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.cuda.machine import Machine
from vclr.coco.annotations import encode_mask
from vclr.config import load_config
from vclr.data.samples import TestSample
from vclr.device import autocast
from vclr.evaluation.inference import predict, predict_samples
from vclr.generate.random_scenes import random_photo
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.structures import MaskForm, Predictions

SIZES = [(96, 128), (80, 112)]


def main(machine: Machine, dtype: str, config_file: str = "configs/small_detector.yaml") -> dict[str, Any]:
    """Return what is found on the GPU and on the CPU, and the notes of a batch and of a photo."""
    config = load_config(config_file, ["model.num_queries=60", f"evaluation.dtype={dtype}"])
    model = build_model(config).eval()
    generator = torch.Generator().manual_seed(0)
    samples = [TestSample(random_photo(size, generator), 0, size) for size in SIZES]
    photo = np.zeros((96, 128, 3), np.uint8)

    def find(model: Detector, form: MaskForm = MaskForm.PAINTED) -> list[Predictions]:
        with autocast(dtype, model.pixel_mean.device):
            return predict_samples(model, samples, form)

    on_cpu = find(model)
    model.to(torch.device("cuda", 0))
    find(model)  # what is kept by size is computed now
    machine.notes.take()
    on_gpu = find(model)
    of_batch = machine.notes.take()
    predict(model, photo, short_edge=None)
    return {
        "cpu": list(map(describe, on_cpu)),
        "gpu": list(map(describe, on_gpu)),
        "batch": of_batch,
        "photo": machine.notes.take(),
        "painted": [[encode_mask(mask) for mask in found.masks] for found in on_gpu],
        "encoded": [found.encoded_masks for found in find(model, MaskForm.ENCODED)],
        "encoding": machine.notes.take(),
    }


def describe(found: Predictions) -> dict[str, Any]:
    """Return scores and boxes, and how many pixels each mask has."""
    areas = found.masks.reshape(len(found), -1).sum(1)
    return {"scores": found.scores.tolist(), "boxes": found.boxes.tolist(), "areas": areas.tolist()}
