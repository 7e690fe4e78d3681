"""The names of the views that are computed from a photo alone; `vclr.ops.appearance` renders them. Imports no torch."""

COMPUTED_VIEWS: tuple[str, ...] = ("edge", "palette", "fourier", "random_conv", "pseudo_depth")
