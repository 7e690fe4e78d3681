"""The names of the metrics that stand for all others wherever results are shown."""

from __future__ import annotations

# What experiments are compared by, and its stand-in if no masks were evaluated.
HEADLINE, BOX_HEADLINE = "mask_ar@100", "box_ar@100"
# What paired tests, the study and MLflow show.
SHOWN_METRICS = (HEADLINE, "mask_ar@10", "mask_ap", BOX_HEADLINE, "box_ar@10", "box_ap")
# The columns of the report's table, which summary.json holds too.
TABLE_METRICS = (HEADLINE, "mask_ar@10", BOX_HEADLINE)
# What `vclr evaluate` prints.
PRINTED_METRICS = ("box_ar@10", BOX_HEADLINE, "mask_ar@10", HEADLINE)
