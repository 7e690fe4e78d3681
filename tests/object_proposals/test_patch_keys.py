"""Features of patches are the keys of a model's last attention, whatever the model calls its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.object_proposals.tiny_vits import KINDS, make_vit
from vclr.errors import UserError
from vclr.object_proposals.patch_keys import PatchKeys


def photos(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (50 + index, 70, 3)).astype(np.uint8) for index in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_keys_are_those_of_a_whole_forward_pass(kind: str) -> None:
    model = make_vit(kind)
    patch_keys = PatchKeys(model, None, kind, batch_size=2, grid=12)
    keys = patch_keys(photos(1))
    kept: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: torch.Tensor) -> None:
        kept.append(output)

    last = [layer for name, layer in model.named_modules() if name.endswith("k_proj")][-1]
    last._forward_hooks.clear()
    last.register_forward_hook(keep)
    with torch.inference_mode():
        model(torch.from_numpy(patch_keys._prepare(photos(1)[0]))[None], **patch_keys.options)
    assert keys.shape == (1, 144, 32)
    assert torch.equal(keys, kept[0][:, -144:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_keys_of_a_photo_have_the_same_bits_in_any_batch(dtype: torch.dtype) -> None:
    keys = PatchKeys(make_vit("vit").to(dtype), None, "vit", batch_size=3, grid=12)
    together = keys(photos(3))
    assert together.dtype == dtype
    assert torch.equal(together, torch.cat([keys([photo]) for photo in photos(3)]))


def test_patches_are_in_rows_and_see_the_photo() -> None:
    keys = PatchKeys(make_vit("vit", num_hidden_layers=1), None, "vit", batch_size=1, grid=6)
    photo = np.full((48, 48, 3), 90, np.uint8)
    changed = photo.copy()
    changed[8:16, 24:32] = 250  # row 1, column 3
    before, after = keys([photo])[0], keys([changed])[0]
    assert (before - after).abs().sum(dim=1).argmax() == 1 * 6 + 3


def test_a_model_without_keys_is_refused() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(hidden_sizes=[8, 8], depths=[1, 1], embedding_size=8)
    with pytest.raises(UserError, match="resnet: is no vision transformer with keys"):
        PatchKeys(transformers.ResNetModel(config), None, "resnet", batch_size=1)
