"""The layouts between which `vclr convert` converts, weights and configurations."""

from __future__ import annotations

VCLR, REFERENCE, DETECTRON2, LAZY_CONFIG = "vclr", "reference", "detectron2", "lazyconfig"
WEIGHT_LAYOUTS = (VCLR, REFERENCE, DETECTRON2)
CONFIG_LAYOUTS = (VCLR, REFERENCE, LAZY_CONFIG)
