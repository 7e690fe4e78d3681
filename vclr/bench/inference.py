"""Measure inference on a batch of images, as `vclr evaluate` does it.

Timed: copying uint8 images to the device, normalizing them, the detector, scores, non-maximum suppression, and painting
the masks at the image's size, back in CPU memory. Not timed: reading and resizing photos, and encoding masks for the
results file. `--dtype` is `evaluation.dtype`: it applies to the mask branch; objects are still chosen in float32. One
warm-up batch is not timed. With several sizes, the images of the batch take them in turn.

Untrained weights find, and paint, more objects than a trained detector: `found` says how many.
"""

from __future__ import annotations

import torch

from vclr.bench.measure import Measurement, time_runs
from vclr.bench.settings import Settings
from vclr.config import load_config
from vclr.data.samples import TestSample
from vclr.device import autocast
from vclr.evaluation.inference import predict_samples
from vclr.generate.random_scenes import random_photo
from vclr.models.build import build_model

NUM_WARM_UPS = 1


def measure_inference(settings: Settings, device: torch.device) -> Measurement:
    """Time the detector on one batch; `found` is the number of objects in each image."""
    options = [f"model.num_queries={settings.queries}", f"evaluation.dtype={settings.dtype}"]
    config = load_config(settings.config_file, [*settings.overrides, *options])
    model = build_model(config).to(device).eval()
    generator = torch.Generator().manual_seed(0)
    samples = [TestSample(random_photo(size, generator), 0, size) for size in settings.image_sizes]

    found: list[int] = []

    def infer() -> None:
        with autocast(config.evaluation.dtype, device):
            found[:] = map(len, predict_samples(model, samples))

    return Measurement(time_runs(infer, settings.runs, NUM_WARM_UPS, device), {"found": found})
