"""Keep a step that went wrong in a file, and take it again: `vclr train --replay`."""

from __future__ import annotations

from dataclasses import asdict, fields
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vclr.data.batches import pad_images
from vclr.device import choose_device, float32_precision
from vclr.engine.distributed import gather_on_first_process, rank, wait_for_all
from vclr.engine.state import TrainState
from vclr.engine.step import backward, check_finite, clip_gradients_and_read, compute_losses
from vclr.errors import UserError, first_line
from vclr.files import atomic_path
from vclr.losses.objective import Objective
from vclr.models.checkpoint import check_fit, check_form
from vclr.models.weights import read_tensors
from vclr.structures import Batch, Target, to_device


def keep_for_replay(error: FloatingPointError, state: TrainState, batch: Batch, folder: Path) -> BaseException:
    """Write the state before the step and the batches of all processes to `folder/nonfinite-N.pt`.

    Returns:
        The error to raise, which also names the file.
    """
    batches = gather_on_first_process(asdict(to_device(batch, torch.device("cpu"))))
    if rank():
        wait_for_all()  # launchers end the remaining processes when one leaves
        return SystemExit(1)
    path = folder / f"nonfinite-{state.iteration}.pt"
    with atomic_path(path) as partial:
        torch.save({"state": state.state_dict(), "batches": batches, "error": str(error)}, partial)
    wait_for_all()
    return FloatingPointError(f"{error}; `vclr train --replay {path}` takes this step again")


def replay(path: Path, device: str) -> None:
    """Take the step in a file again on one process, and print each loss and the first place where it goes wrong.

    Raises:
        FloatingPointError: the step goes wrong again.
        UserError: `keep_for_replay` did not write the file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    content = read_tensors(path)
    held = content.get("state"), content.get("batches"), content.get("error")
    if not all(isinstance(part, kind) for part, kind in zip(held, (dict, list, str), strict=True)):
        raise UserError(f"{path}: holds no step to take again")
    # Weights that have just diverged need not be finite.
    config = check_form(content["state"], str(path), must_be_finite=False)
    if "iteration" not in content["state"]:
        raise UserError(f"{path}: holds no step to take again")
    print(f"{path}: {content['error']}")
    state = TrainState(config, choose_device(device))
    check_fit(content["state"], state.student, str(path))
    state.load_state_dict(content["state"])
    with float32_precision(config.train.tf32):
        _take_step(state, content["batches"])


def _take_step(state: TrainState, parts: list[dict[str, Any]]) -> None:
    """Take the step on the parts of a batch, and print its outcome."""
    config = state.config
    try:
        batch = join_batches(
            [Batch(**with_new_names(part) | {"targets": [Target(**own) for own in part["targets"]]}) for part in parts]
        )
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(f"its batch cannot be read: {type(error).__name__}: {first_line(error)}") from None
    culprits = watch_modules(state.student)
    objective = Objective(config.model.criterion)
    losses = compute_losses(state, batch, objective)
    for name, value in losses.items():
        print(f"  {name:20} {value.item():.6g}")
    if culprits:
        print(f"first output that is not finite: {culprits[0]}")
    check_finite({name: value.item() for name, value in losses.items()}, state.iteration, batch)
    backward(state, losses)
    gradients = {name: p.grad for name, p in state.student.named_parameters() if p.grad is not None}
    if broken := [name for name, gradient in gradients.items() if not gradient.isfinite().all()]:
        print(f"gradients that are not finite: {len(broken)}, among them that of {broken[0]}")
    clip_gradients_and_read(state, losses, batch)
    print("all losses and gradients are finite this time")


def with_new_names(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a batch with the names of this version: older ones call `teacher_images` `natural`."""
    return {"teacher_images" if name == "natural" else name: value for name, value in part.items()}


def watch_modules(model: nn.Module) -> list[str]:
    """Return a list that the next forward pass fills with the modules whose output is not finite."""
    culprits: list[str] = []

    def note(name: str, output: Any) -> None:
        outputs = output if isinstance(output, list) else [output]  # groups of images of one size
        if not all(tensor.isfinite().all() for tensor in outputs if isinstance(tensor, Tensor)):
            culprits.append(name)

    for name, module in model.named_modules():  # inner modules finish before outer ones
        module.register_forward_hook(lambda _module, _inputs, output, name=name: note(name, output))
    return culprits


def join_batches(parts: list[Batch]) -> Batch:
    """Join the parts of several processes to the whole batch."""

    def join(images: list[Tensor]) -> Tensor:
        cut = zip((image for part in images for image in part), sizes, strict=True)
        return pad_images([image[:, :height, :width] for image, (height, width) in cut])[0]

    sizes = [size for part in parts for size in part.image_sizes]
    joined: dict[str, Any] = {}
    for name in (field.name for field in fields(Batch)):
        values = [getattr(part, name) for part in parts]
        joined[name] = join(values) if isinstance(values[0], Tensor) else list(chain.from_iterable(values))
    return Batch(**joined)
