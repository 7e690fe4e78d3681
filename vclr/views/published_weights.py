"""Weights of the views' networks, in the files in which others published them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from vclr.errors import UserError
from vclr.file_names import say_nearest
from vclr.models.checkpoint import check_tensor
from vclr.models.weights import read_tensors


def load_published(
    network: nn.Module, path: Path, what: str, rename: Callable[[str], str] = str, advice: str = ""
) -> None:
    """Load the weights of a network from a file of named tensors. Nothing in it is executed.

    Args:
        network: takes the weights; those of further layers in the file are left out.
        path: the file.
        what: what the weights are, for errors.
        rename: returns the network's name of a weight for its name in the file.
        advice: how to get the file, for the error if it is missing.

    Raises:
        UserError: the file is missing or damaged, or lacks a weight; or one has another shape or is not finite.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file{say_nearest(path)}; it should hold {what}{advice}")
    content = {rename(str(key)): value for key, value in read_tensors(path).items()}
    own = network.state_dict()
    for key, parameter in own.items():
        if key not in content:
            raise UserError(f"{path}: does not hold {what}: it has no weight {key}")
        check_tensor(content[key], f"{path}: {key}")
        if content[key].shape != parameter.shape:
            found, wanted = _say_shape(content[key]), _say_shape(parameter)
            raise UserError(f"{path}: does not hold {what}: its weight {key} is {found}, not {wanted}")
    network.load_state_dict({key: content[key] for key in own})


def _say_shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
