"""The detector: a two-stage deformable DETR with a mask branch (docs/method.md, section 2)."""
