"""The names of the metrics that are shown wherever results are summarized."""

from __future__ import annotations

# The metric that experiments are compared by, and its replacement if no masks were evaluated.
HEADLINE, BOX_HEADLINE = "mask_ar@100", "box_ar@100"
# The metrics of paired tests, the study and MLflow.
SHOWN_METRICS = (HEADLINE, "mask_ar@10", "mask_ap", BOX_HEADLINE, "box_ar@10", "box_ap")
# The columns of the report's table, which summary.json holds too.
TABLE_METRICS = (HEADLINE, "mask_ar@10", BOX_HEADLINE)
# What `vclr evaluate` prints.
PRINTED_METRICS = ("box_ar@10", BOX_HEADLINE, "mask_ar@10", HEADLINE)
