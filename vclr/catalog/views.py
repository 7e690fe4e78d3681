"""The names of views. Imports no torch."""

NATURAL = "natural"  # the view that is the photo itself
# Views that are computed from a photo alone; `vclr.views.computed` renders them.
COMPUTED_VIEWS: tuple[str, ...] = ("edge", "palette", "fourier", "random_conv", "pseudo_depth")
