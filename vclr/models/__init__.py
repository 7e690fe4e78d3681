"""The detector: a two-stage deformable DETR with a mask branch (METHOD: paper section 3, released code)."""
