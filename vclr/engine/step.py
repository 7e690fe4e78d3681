"""One training step, from a batch to the moved teacher (docs/method.md, section 3).

Without dropout and drop path, a step is the same whether one process takes the whole batch or several take a part each,
and however many images go through the backbone at once: an image's random numbers depend on the seed, the iteration and
the image's place in the batch, and sums are divided by counts of the whole batch, or of groups of its places.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from vclr.data.batches import pad_masks
from vclr.data.corrupt import corrupt
from vclr.data.noisy_objects import draw_noisy_objects
from vclr.device import autocast
from vclr.engine.distributed import gather_groups, rank, sum_on_hosts, sum_over_processes, world_size
from vclr.engine.memory import or_refuse, within_memory
from vclr.engine.state import TrainState
from vclr.groups import count_groups, groups_of_images, own_groups, slices
from vclr.losses.consistency_variant import Share
from vclr.losses.criterion import Losses
from vclr.losses.objective import Counts, Divisors, Objective
from vclr.structures import Batch, Target, padded_size, to_device


def training_step(state: TrainState, batch: Batch, objective: Objective) -> dict[str, float]:
    """Take one optimizer step on this process's part of the batch; return the whole batch's weighted losses by name.

    Raises:
        FloatingPointError: a loss or the gradient is not finite; the weights have not moved.
        UserError: there is too little memory.
    """
    values = within_memory(state, batch, lambda: compute_gradients(state, batch, objective))
    or_refuse(lambda: apply_gradients(state))
    return values


def compute_gradients(state: TrainState, batch: Batch, objective: Objective) -> dict[str, float]:
    """Do the first half of a step: compute the losses and their clipped gradient.

    If anything is raised, the state is unchanged.
    """
    statistics = [buffer.clone() for buffer in state.student.mask_branch.buffers()]
    try:
        losses = compute_losses(state, batch, objective)
        backward(state, losses)
        return clip_gradients_and_read(state, losses, batch)
    except Exception:
        state.forget_step()
        for buffer, before in zip(state.student.mask_branch.buffers(), statistics, strict=True):
            buffer.copy_(before)
        raise


def compute_losses(state: TrainState, batch: Batch, objective: Objective) -> Losses:
    """Compute the weighted losses of this process's part; their mean over the processes is the loss."""
    config, student = state.config, state.student
    device = student.pixel_mean.device
    batch = to_device(batch, device)
    group_size = config.dataloader.train.group_size
    generators = Generators(config.train.seed, state.iteration, len(batch), group_size, device)
    images = student.normalize(batch.images, batch.image_sizes)
    images = corrupt(
        images,
        batch.image_sizes,
        config.views.corrupt,
        student.pixel_mean,
        student.pixel_std,
        generators.of_gray,
        generators.of_images,
    )
    as_in_reference = group_size or len(batch)  # images of a group; without groups, those of a process
    targets = pad_like_reference(batch, as_in_reference) if config.compat.padding else batch.targets
    averaged_over = as_in_reference if config.compat.consistency_mean else len(batch) * world_size()
    kinds = objective.read_kinds(targets)
    divisors = find_divisors(objective.count(targets, kinds, config.model.num_queries), averaged_over)
    noisy = None
    if config.model.denoises:
        noisy = draw_noisy_objects(targets, most_objects(batch), config.model, generators.of_noise())
    with autocast(config.train.amp.dtype if config.train.amp.enabled else "float32", device):
        outputs = state.wrapped_student(images, batch.image_sizes, noisy=noisy)
        taught = None
        if objective.needs_teacher:
            assert state.teacher is not None  # load_config has checked this
            teacher_images = student.normalize(batch.teacher_images, batch.image_sizes)
            taught = state.teacher(teacher_images, batch.image_sizes)
    share = share_groups(len(batch), averaged_over)
    return objective(outputs, taught, targets, divisors, generators.of_points, kinds, share)


def pad_like_reference(batch: Batch, group_size: int) -> list[Target]:
    """Return the targets with masks that cover the padding of their group."""
    padded = []
    for group in slices(len(batch), group_size):
        size = padded_size(batch.image_sizes[group])
        padded += [pad_masks(target, size) for target in batch.targets[group]]
    return padded


def backward(state: TrainState, losses: Losses) -> None:
    """Compute the gradient of the sum of the losses."""
    state.scaler.scale(torch.stack(list(losses.values())).sum()).backward()


def clip_gradients_and_read(state: TrainState, losses: Losses, batch: Batch) -> dict[str, float]:
    """Clip the norm of all gradients together, and return the mean of each loss over the processes.

    The host waits for the device here, once per step.

    Raises:
        FloatingPointError: a loss is not finite (names it and the images), or the norm is not. In float16 the scaler
            skips the step if the gradient is not finite.
    """
    means = sum_over_processes(torch.stack(list(losses.values())).detach().double()) / world_size()
    state.scaler.unscale_(state.optimizer)
    clip = state.config.train.clip_grad
    gradients = [parameter.grad for parameter in state.student.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients, clip.params.norm_type)
    if clip.enabled:
        torch.nn.utils.clip_grads_with_norm_(state.student.parameters(), clip.params.max_norm, norm)
    *values, total_norm = torch.cat([means, norm.double()[None]]).tolist()
    read = dict(zip(losses, values, strict=True))
    check_finite(read, state.iteration, batch)
    if not (state.scaler.is_enabled() or math.isfinite(total_norm)):
        raise FloatingPointError(f"iteration {state.iteration}: the gradient is not finite")
    state.grad_norm = total_norm if math.isfinite(total_norm) else None
    return read


def apply_gradients(state: TrainState) -> None:
    """Do the second half of a step: move the student, then the teacher and the learning rate."""
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)  # now, to free their memory for the next forward pass
    if state.teacher:
        state.teacher.update(state.student)
    state.scheduler.step()
    state.iteration += 1


class Generators:
    """The random generators of a step. An image's depend on its place in the whole batch, not on the process."""

    def __init__(self, seed: int, iteration: int, num_images: int, group_size: int, device: torch.device) -> None:
        torch.manual_seed(mix(seed, iteration, rank()))  # dropout
        places = range(rank() * num_images, (rank() + 1) * num_images)
        # Images of one group get equal generators, wherever they are. If the batch is one group, that is the generator
        # of its first image in `of_images`: SeedSequence takes missing numbers for zeros. Old trainings need it so.
        of_groups: list[tuple[int, ...]] = [()] * num_images
        if group_size:
            of_groups = [(group, 2) for group in groups_of_images(num_images, group_size, rank())]
        self.of_gray = [torch.Generator().manual_seed(mix(seed, iteration, *group)) for group in of_groups]
        self.of_images = [torch.Generator().manual_seed(mix(seed, iteration, place, 0)) for place in places]
        self.of_points = [torch.Generator(device).manual_seed(mix(seed, iteration, place, 1)) for place in places]
        self._seeds_of_noise = [(seed, iteration, place, 3) for place in places]

    def of_noise(self) -> list[torch.Generator]:
        """Return fresh generators for the noise of each image's objects."""
        return [torch.Generator().manual_seed(mix(*numbers)) for numbers in self._seeds_of_noise]


def mix(*numbers: int) -> int:
    """Return one seed made of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def find_divisors(counts: Counts, group_size: int) -> Divisors:
    """Sum up the objects of the whole batch, and in each group of images those that are compared with the teacher's.

    Each sum is at least 1. This is the first thing that processes do together in a step: those with faster disks wait
    here, on the hosts, as long as it takes.

    Returns:
        The divisors of sums over objects, and for each group of this process's images, those of sums over its pairs.
        The mean over the processes of sums divided by them is the mean per object of the whole batch, and the mean over
        the groups of each group's mean per pair.
    """
    num_images, num_parts = len(counts.pairs[0]), len(counts.boxes)
    num_groups = count_groups(num_images * world_size(), group_size)
    own = own_groups(num_images, group_size, rank())
    sums = [float(sum(of_images)) for of_images in counts.boxes]
    for of_images in counts.pairs:
        of_groups = [0.0] * num_groups
        for group, images in own.items():
            of_groups[group] = sum(of_images[image] for image in images)
        sums += of_groups
    totals = [max(1.0, total) / world_size() for total in sum_on_hosts(sums)]
    pairs = [
        {images: totals[first + group] * num_groups for group, images in own.items()}
        for first in range(num_parts, len(totals), num_groups)
    ]
    return Divisors(totals[:num_parts], *pairs)


def share_groups(num_images: int, group_size: int) -> Share:
    """Return a function that gets rows of each of this process's groups, and returns the other processes' rows."""
    numbers = [*own_groups(num_images, group_size, rank())]
    return lambda groups: gather_groups(dict(zip(numbers, groups, strict=True)))


def most_objects(batch: Batch) -> int:
    """Return the largest number of objects of one image in the whole batch."""
    of_processes = [0.0] * world_size()
    of_processes[rank()] = max(map(len, batch.targets))
    return int(max(sum_on_hosts(of_processes)))


def check_finite(losses: dict[str, float], iteration: int, batch: Batch) -> None:
    """Raise a FloatingPointError that names the losses that are not finite, and the images."""
    broken = [name for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        images = ", ".join(str(target.image_id) for target in batch.targets)
        raise FloatingPointError(f"iteration {iteration}: {', '.join(broken)} not finite on images {images}")
