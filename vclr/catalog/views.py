"""The names of views. A computed view is an entry here and a module of its name in `vclr/views/`."""

from __future__ import annotations

NATURAL = "natural"  # the view that is the photo itself
DEPTH, STYLE = "depth", "style"  # the published views: files that pretrained models rendered
EDGE = "edge"  # is computed, or rendered by a model
ADAIN, HED = "adain", "hed"  # the models of `style` and `edge`

# Views that are computed from a photo alone: what each keeps and what it changes.
COMPUTED_VIEWS: dict[str, str] = {
    "edge": "keeps outlines; removes color and shading",
    "palette": "keeps areas of similar color; changes the colors, and may swap light and dark",
    "fourier": "keeps phase and fine detail; takes large-scale color and light from another photo",
    "random_conv": "keeps shapes; changes local texture and color with a random filter",
    "pseudo_depth": "keeps regions; shows only a guess of how near each one is",
    "gray": "keeps everything but color",
    "random_texture": "keeps the outlines of regions; fills each with a random pattern in two random colors",
}
# Views that models render, of which each is a module in `vclr/views/`: who can render it. The first is the default.
PRODUCERS: dict[str, dict[str, str]] = {
    DEPTH: {
        "depth-anything": "Depth Anything V2 (small), the default; Apache-2.0",
        "zoedepth": "ZoeDepth, as in the reference implementation; MIT",
        "dpt": "DPT, known as MiDaS 3.0, as in the paper; Apache-2.0",
    },
    STYLE: {ADAIN: "AdaIN, the style of paintings or of generated textures, with the published weights"},
    EDGE: {HED: "HED, a learned edge detector, if its published weights are given; without, the view is computed"},
}
REFERENCE = "reference"
LAYOUTS: dict[str, str] = {REFERENCE: "8 bits per channel and colored depth, as the reference implementation's files"}
# Seconds that a computed view of a photo of 480x640 pixels should take on one core; training says which take longer.
BUDGET_PIXELS = 480 * 640
BUDGETS: dict[str, float] = dict.fromkeys(COMPUTED_VIEWS, 0.06) | {"pseudo_depth": 0.12}
# The opposite of a view: it breaks the geometry, so nothing is trained on it. `vclr probe` compares views with it.
CONTROLS: dict[str, str] = {
    "shuffled_patch": "keeps color and local texture; takes shapes apart",
}
RENDERED = COMPUTED_VIEWS | CONTROLS  # all that needs no files

# What a training does with photos that have no file of a view (`views.missing`).
REFUSE, SKIP, PHOTO = "error", "skip", "photo"
MISSING_VIEWS: dict[str, str] = {
    REFUSE: "the training is refused before it starts",
    SKIP: "the view is not drawn for them",
    PHOTO: "the photo stands in",
}

# What `vclr probe` shows by default, and the computed view that it shows if files of a published one are missing.
PROBE_VIEWS = (NATURAL, DEPTH, STYLE, "edge", "gray", "random_texture", "shuffled_patch")
STAND_INS = {DEPTH: "pseudo_depth"}
# What the workflow renders in place of a view that nobody publishes for a set if no model can render it either.
WEIGHT_FREE = {DEPTH: "pseudo_depth", STYLE: "random_texture"}
