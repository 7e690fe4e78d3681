"""The names of views. A computed view is an entry here and a module of its name in `vclr/views/`."""

from __future__ import annotations

NATURAL = "natural"  # the view that is the photo itself

# Views that are computed from a photo alone: what each keeps and what it changes.
COMPUTED_VIEWS: dict[str, str] = {
    "edge": "keeps outlines; removes color and shading",
    "palette": "keeps areas of similar color; changes the colors, and may swap light and dark",
    "fourier": "keeps phase and fine detail; takes large-scale color and light from another photo",
    "random_conv": "keeps shapes; changes local texture and color with a random filter",
    "pseudo_depth": "keeps regions; shows only a guess of how near each one is",
}
