"""The names of the metrics that stand for all others wherever results are shown."""

from __future__ import annotations

# The headline: what experiments are compared by, and its stand-in where no masks were evaluated.
HEADLINE, BOX_HEADLINE = "mask_ar@100", "box_ar@100"
# What tables, the study and MLflow show beside it.
SHOWN_METRICS = (HEADLINE, "mask_ar@10", "mask_ap", BOX_HEADLINE, "box_ar@10", "box_ap")
