"""What CUDA does with an operation: when it makes the host wait, and what it takes from the CPU.

As in aten/src/ATen/native/cuda of torch.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

aten = torch.ops.aten

# The host has to know a number that is on the GPU: mostly the size of the result.
WAITING = {
    "_local_scalar_dense",
    "nonzero",
    "nonzero_numpy",
    "argwhere",
    "masked_select",
    "unique_dim",
    "unique_consecutive",
    "_unique2",
    "equal",
    "is_nonzero",
    "bincount",
    "histc",
    "_histogramdd",
    "to_sparse",
}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
# Besides pointwise operations, these take a number from a CPU tensor without dimensions.
TAKING_NUMBERS = {"fill_", "masked_fill", "masked_fill_", "where", "index_put", "index_put_"}
CONVOLUTIONS = {"convolution", "convolution_backward"}
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm"}
# Neither computed nor marked as a view.
NOTHING_TO_DO = {"detach", "_unsafe_view", "lift_fresh", "alias"}
# A copy of so little memory that is not pinned goes through the driver's own; the host does not wait for it.
STAGED_BYTES = 64 * 1024


@cache
def name_of(operation: OpOverload) -> str:
    """Return `add_` of `aten.add_.Tensor`."""
    return operation.overloadpacket._qualified_op_name.split("::")[1]


def waits(operation: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether the host waits in an operation on tensors of the GPU alone."""
    name = name_of(operation)
    if name in INDEXING:
        return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    if operation is aten.repeat_interleave.Tensor:
        return kwargs.get("output_size") is None
    return name in WAITING


@cache
def is_kernel(operation: OpOverload) -> bool:
    """Tell whether there is something to compute: whether the result is more than another view of the same memory."""
    aliases = [result.alias_info for result in operation._schema.returns]
    is_view = bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)
    return not is_view and name_of(operation) not in NOTHING_TO_DO


def may_use_tf32(operation: OpOverload, args: tuple[Any, ...]) -> bool:
    """Tell whether the settings of now let CUDA round the inputs of an operation on float32 to TF32."""
    name = name_of(operation)
    if name in CONVOLUTIONS:
        return args[0].dtype == torch.float32 and torch.backends.cudnn.allow_tf32
    return name in PRODUCTS and args[0].dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32


def takes_number(operation: OpOverload, value: Tensor) -> bool:
    """Tell whether a CPU tensor beside those of the GPU is taken as a plain number."""
    is_pointwise = torch.Tag.pointwise in operation.tags
    return value.dim() == 0 and (is_pointwise or name_of(operation) in TAKING_NUMBERS)


def takes_index(operation: OpOverload, value: Tensor, args: tuple[Any, ...]) -> bool:
    """Tell whether a CPU tensor is an index, which is copied to the GPU while the host waits."""
    return name_of(operation) in INDEXING and any(value is index for index in args[1])


@cache
def written_arguments(operation: OpOverload) -> list[tuple[int, str, str]]:
    """Return the place, the name and the alias (`a` in `Tensor(a!)`) of each argument that is written in place."""
    written = []
    for number, argument in enumerate(operation._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            alias = next(iter(argument.alias_info.before_set), argument.name)  # lists of tensors have none
            written.append((number, argument.name, alias))
    return written


@cache
def written_results(operation: OpOverload) -> list[str | None]:
    """Return for each result the alias of the argument that it is; None for a result of its own."""
    infos = [result.alias_info for result in operation._schema.returns]
    return [next(iter(info.before_set)) if info is not None and info.is_write else None for info in infos]
