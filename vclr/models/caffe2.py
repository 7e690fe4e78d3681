"""The names of Caffe2 for a ResNet's weights, which detectron2's model zoo uses for its oldest backbones.

`conv1_w`, `res_conv1_bn_s` and `res2_0_branch2a_w` become detectron2's `stem.conv1.weight`, `stem.conv1.norm.weight`
and `res2.0.conv1.weight`. Norms often come without statistics, because these are part of scale and shift already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

LAYOUT = "caffe2"
NOTE = (
    "backbones with these names were mostly trained on BGR pixels that are not divided by a deviation, and with "
    "strides in the first convolution of a block; here pixels are RGB and strides are in the second one"
)
EPSILON = 1e-5  # of the norms: without statistics, their variance is 1 with it

STEM = re.compile(r"^(?:res_)?conv1_(?P<rest>.+)$")
BLOCK = re.compile(r"^res(?P<stage>[2-5])_(?P<block>\d+)_branch(?P<branch>1|2a|2b|2c)_(?P<rest>.+)$")
CLASSIFIERS = re.compile(r"^(fc\d+|pred)_[wb]$")
BRANCHES = {"1": "shortcut", "2a": "conv1", "2b": "conv2", "2c": "conv3"}
PARTS = {
    "w": "weight",
    **{f"{norm}_{name}": "norm.weight" for norm in ("bn", "gn") for name in ("s", "gamma")},
    **{f"{norm}_{name}": "norm.bias" for norm in ("bn", "gn") for name in ("b", "beta")},
    **dict.fromkeys(("bn_rm", "bn_running_mean"), "norm.running_mean"),
    **dict.fromkeys(("bn_riv", "bn_running_var"), "norm.running_var"),
}


def is_caffe2(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights have Caffe2's names."""
    return "conv1_w" in state and any(BLOCK.match(key) for key in state)


def from_caffe2(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a backbone's weights by detectron2's names, and the keys that are left out, each with the reason."""
    renamed: dict[str, Tensor] = {}
    ignored: dict[str, str] = {}
    for key, value in state.items():
        match, stem = BLOCK.match(key), STEM.match(key)
        if key.endswith("_momentum"):
            ignored[key] = "is of the optimizer"
        elif CLASSIFIERS.match(key):
            ignored[key] = "classifies whole images"
        elif match and match["rest"] in PARTS:
            block = f"res{match['stage']}.{match['block']}.{BRANCHES[match['branch']]}"
            renamed[f"{block}.{PARTS[match['rest']]}"] = value
        elif stem and stem["rest"] in PARTS:
            renamed[f"stem.conv1.{PARTS[stem['rest']]}"] = value
        elif (match or stem) and key.endswith("_b") and not value.any():
            ignored[key] = "is a bias of 0"
        elif match or stem:
            renamed[key] = value
        else:
            ignored[key] = "not of the backbone"
    _add_statistics(renamed, has_frozen_norms=not any("_gn_" in key for key in state))
    return renamed, ignored


def _add_statistics(renamed: dict[str, Tensor], has_frozen_norms: bool) -> None:
    for key in [key for key in renamed if has_frozen_norms and key.endswith("norm.weight")]:
        ones = torch.ones_like(renamed[key])
        prefix = key.removesuffix("weight")
        renamed.setdefault(f"{prefix}running_mean", torch.zeros_like(ones))
        renamed.setdefault(f"{prefix}running_var", ones - EPSILON)
