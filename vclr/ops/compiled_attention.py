"""The compiled deformable attention of detrex or of Deformable DETR, where one is installed: CUDA alone.

Both packages have the same two functions. They are looked up at the first use on a GPU, never on import. Of detrex,
only the file with these functions is loaded, because all of it would bring detectron2 and more along.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vclr.structures import Size

MODULES = ("detrex._C", "MultiScaleDeformableAttention")
FUNCTIONS = ("ms_deform_attn_forward", "ms_deform_attn_backward")
IMAGES_AT_ONCE = 64  # the kernels go through a batch in portions of so many images, which must divide it


@cache
def compiled_module(device: torch.device) -> Any | None:
    """Return the module with the compiled functions; None if no package has some that work on this device."""
    for name in MODULES:
        try:
            module = sys.modules.get(name) or _load(name)
        except (ImportError, OSError, RuntimeError):  # built for another torch
            continue
        if all(hasattr(module, function) for function in FUNCTIONS) and _works(module, device):
            return module
    return None


def _load(name: str) -> Any | None:
    package, _, inner = name.partition(".")
    spec = find_spec(package)
    if spec is not None and inner:
        folders = map(Path, spec.submodule_search_locations or [])
        files = [file for folder in folders for file in sorted(folder.glob(f"{inner}.*.so"))]
        spec = spec_from_file_location(name, files[0]) if files else None
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _works(module: Any, device: torch.device) -> bool:
    """Try the smallest attention: a package may have been built without CUDA, or for other GPUs."""
    value, locations = torch.zeros(1, 1, 1, 1, device=device), torch.zeros(1, 1, 1, 1, 1, 2, device=device)
    shapes = torch.ones(1, 2, dtype=torch.int64, device=device)
    try:
        module.ms_deform_attn_forward(value, shapes, shapes.new_zeros(1), locations, locations[..., 0].contiguous(), 1)
    except RuntimeError:
        return False
    return True


def has_compiled(value: Tensor) -> bool:
    """Tell whether compiled kernels can read these values, which are cast to float32 or float64 first."""
    return value.is_cuda and compiled_module(value.device) is not None


def compiled_attention(
    value: Tensor, spatial_shapes: Sequence[Size], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Compute the attention with the compiled kernels; arguments as of `deformable_attention`."""
    shapes = torch.tensor([*spatial_shapes], dtype=torch.int64, device=value.device)
    sizes = shapes.prod(1)
    starts = sizes.cumsum(0) - sizes
    attended: Tensor = CompiledAttention.apply(  # type: ignore[no-untyped-call]
        value.contiguous(), shapes, starts, sampling_locations.contiguous(), attention_weights.contiguous()
    )
    return attended


class CompiledAttention(torch.autograd.Function):
    """The two compiled functions as one that can be differentiated."""

    @staticmethod
    def forward(  # type: ignore[override]
        context: Any, value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor
    ) -> Tensor:
        """Return (b, q, m * d)."""
        context.save_for_backward(value, shapes, starts, locations, weights)
        attended: Tensor = _module(value.device).ms_deform_attn_forward(
            value, shapes, starts, locations, weights, _portion(len(value))
        )
        return attended

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Return the gradients of values, locations and weights."""
        saved = context.saved_tensors
        of_value, of_locations, of_weights = _module(gradient.device).ms_deform_attn_backward(
            *saved, gradient.contiguous(), _portion(len(saved[0]))
        )
        return of_value, None, None, of_locations, of_weights


def _module(device: torch.device) -> Any:
    module = compiled_module(device)
    if module is None:
        raise RuntimeError(f"no compiled deformable attention: neither {' nor '.join(MODULES)} can be imported")
    return module


def _portion(num_images: int) -> int:
    """Return the largest number of images at once that divides the batch."""
    return next(count for count in range(min(num_images, IMAGES_AT_ONCE), 0, -1) if num_images % count == 0)
