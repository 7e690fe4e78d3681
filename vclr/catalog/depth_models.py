"""Models that estimate depth, and what their values mean. Signs differ between models, and are data."""

from __future__ import annotations

INVERSE, METRIC = "inverse", "metric"
DEPTH_KINDS: dict[str, str] = {
    INVERSE: "relative inverse depth (disparity): larger is nearer",
    METRIC: "distance: larger is farther",
}

# The model of the hub that each producer of `vclr.catalog.views.PRODUCERS` stands for.
DEPTH_MODELS: dict[str, str] = {
    "depth-anything": "depth-anything/Depth-Anything-V2-Small-hf",
    "zoedepth": "Intel/zoedepth-nyu-kitti",
    "dpt": "Intel/dpt-large",
}

# What a model's `config.json` says about itself, under `depth_estimation_type`.
STATED_KINDS: dict[str, str] = {"relative": INVERSE, "metric": METRIC}

# What the values of a `model_type` are, or of a `model_type/backbone` that differs from the others of its type. A type
# that is not listed is not guessed: the user says it (`--depth-kind`).
KINDS_OF_TYPES: dict[str, str] = {
    "depth_pro": INVERSE,  # before its post-processing, which turns it into meters
    "dpt": INVERSE,  # MiDaS 3.0 and 3.1
    "dpt/dinov2": METRIC,  # fine-tuned on NYU or KITTI
    "glpn": METRIC,
    "zoedepth": METRIC,
}
