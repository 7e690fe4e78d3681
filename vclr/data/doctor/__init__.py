"""`vclr doctor data`: everything that is wrong with a data set, before a training finds the first of it."""
