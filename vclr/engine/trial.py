"""Steps of a training that is thrown away: they show how much memory those of the real training need."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor

from vclr.config import Config
from vclr.data.samples import TrainingSamples
from vclr.data.transforms import draw_training_geometry
from vclr.engine.memory import attempt, forget_attempt
from vclr.engine.state import TrainState
from vclr.engine.step import apply_gradients, compute_gradients
from vclr.generate.random_scenes import random_photo, random_target
from vclr.losses.objective import Objective
from vclr.structures import Batch, Size, to_device

NUM_DRAWS = 10_000  # geometries that are drawn to find the largest images
NUM_COUNTED = 1000  # images whose objects are counted
MANY = 0.99  # share of the images that have no more objects than those of a trial


class Trial:
    """Takes steps on batches of the largest images that the training can draw, each with many objects."""

    def __init__(self, config: Config, samples: TrainingSamples, device: torch.device) -> None:
        config = copy.deepcopy(config)
        config.optimizer.lr = 0.0  # weights that stay cannot become infinite
        config.train.compile = False  # it would compile for every size
        self.state, self.device = TrainState(config, device), device
        if self.state.scaler.is_enabled():  # at its usual first scale, gradients overflow and no step is taken
            self.state.scaler.load_state_dict({**self.state.scaler.state_dict(), "scale": 1.0})
        self.objective = Objective(config.model.criterion)
        self.image_size, self.padded_size = largest_batch(samples, config.dataloader.train.aspect_ratio_grouping)
        self.num_objects = many_objects(samples)
        self.has_teacher = samples.has_teacher_losses

    def fits(self, num_images: int) -> bool:
        """Take a step on a batch of `num_images`, and tell whether there was enough memory."""
        # Twice if the optimizer's state comes into being at the end of the first step, and only then takes part.
        is_first = not self.state.optimizer.state
        for _ in range(1 + is_first):
            _, reason = attempt(lambda: self._step(num_images))
            if reason:
                self.state.forget_step()
                forget_attempt(self.device)
                return False
        return True

    def _step(self, num_images: int) -> None:
        batch = self._draw(num_images)
        # A GPU holds the next batch already, which is copied to it meanwhile.
        batch, _next_batch = to_device(batch, self.device), to_device(batch, self.device)
        compute_gradients(self.state, batch, self.objective)
        apply_gradients(self.state)

    def _draw(self, num_images: int) -> Batch:
        generator = torch.Generator().manual_seed(0)
        images = self._draw_images(num_images, generator)
        teacher_images = self._draw_images(num_images, generator) if self.has_teacher else images
        targets = [random_target(self.image_size, self.num_objects, generator) for _ in range(num_images)]
        return Batch(images, teacher_images, [self.image_size] * num_images, targets, ["random"] * num_images)

    def _draw_images(self, num_images: int, generator: torch.Generator) -> Tensor:
        return torch.stack([random_photo(self.padded_size, generator) for _ in range(num_images)])


def largest_batch(samples: TrainingSamples, has_groups: bool) -> tuple[Size, Size]:
    """Return the (height, width) of the largest image that a training draws, and of the largest padded batch with it.

    Both are found by drawing many, in the same way as the training does, for photos of all sizes: rare crops may be a
    few percent larger.

    Args:
        samples: the training set.
        has_groups: a batch does not mix photos that are wider than high with others.
    """
    sizes = np.unique(samples.images.sizes, axis=0)
    generator = np.random.default_rng(0)
    drawn: dict[bool, list[Size]] = {}
    for height, width in sizes[np.linspace(0, len(sizes) - 1, NUM_DRAWS).astype(int)].tolist():
        geometry = draw_training_geometry(samples.mapper, (height, width), generator)
        drawn.setdefault(has_groups and width > height, []).append(geometry.output_size)
    batches = []
    for group in drawn.values():
        heights, widths = zip(*group, strict=True)
        batches.append((max(group, key=math.prod), (max(heights), max(widths))))
    return max(batches, key=lambda batch: math.prod(batch[1]))


def many_objects(samples: TrainingSamples) -> int:
    """Return a number of objects that few images exceed, counted on images from all over the training set."""
    places = np.unique(np.linspace(0, len(samples) - 1, NUM_COUNTED).astype(int))
    counts = [len(samples.objects[place]) for place in places.tolist()]
    return int(np.quantile(counts, MANY, method="higher"))
