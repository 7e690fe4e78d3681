"""A web page on which a detector can be tried: `vclr serve`."""
