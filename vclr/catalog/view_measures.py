"""What `vclr views inspect` measures of a view, and the least that a view to train on should reach."""

from __future__ import annotations

# Every measure is from 0 to 1, averaged over the sample. A copy of the photo has structure 1 and change 0.
VIEW_MEASURES: dict[str, str] = {
    "structure": "how well the view's edges agree with the photo's: boundary F-measure",
    "edges_kept": "share of the photo's edges that the view has",
    "outlines": "how well the view's edges agree with the outlines of the masks: boundary F-measure; photos that are "
    "full of other edges have a low one themselves",
    "outlines_kept": "share of the masks' outlines that are edges of the view",
    "own_photo": "share of other photos whose edges fit the view worse than those of its own photo; 0.5 is chance: the "
    "files belong to other photos",
    "color": "distance between the colors of photo and view; 1 is that of black and white",
    "texture": "distance between the local patterns of photo and view",
    "change": "mean of color and texture: how much of the appearance is replaced",
}
# The measures that `--check` compares with a minimum, which options may change.
# In docs/views.md is what the views that need no model reach on photos.
VIEW_MINIMA: dict[str, float] = {"structure": 0.25, "outlines_kept": 0.0, "own_photo": 0.8, "change": 0.02}
