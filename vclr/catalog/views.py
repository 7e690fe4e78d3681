"""The names of views. A computed view is an entry here and a module of its name in `vclr/views/`."""

from __future__ import annotations

NATURAL = "natural"  # the view that is the photo itself
DEPTH, STYLE = "depth", "style"  # the published views: files that pretrained models rendered

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
# Seconds that a computed view of a photo of 480x640 pixels should take on one core; training says which take longer.
BUDGET_PIXELS = 480 * 640
BUDGETS: dict[str, float] = dict.fromkeys(COMPUTED_VIEWS, 0.06) | {"pseudo_depth": 0.12}
# The opposite of a view: it breaks the geometry, so nothing is trained on it. `vclr probe` compares views with it.
CONTROLS: dict[str, str] = {
    "shuffled_patch": "keeps color and local texture; takes shapes apart",
}
RENDERED = COMPUTED_VIEWS | CONTROLS  # all that needs no files

# What `vclr probe` shows by default, and the computed view that it shows if files of a published one are missing.
PROBE_VIEWS = (NATURAL, DEPTH, STYLE, "edge", "gray", "random_texture", "shuffled_patch")
STAND_INS = {DEPTH: "pseudo_depth"}
