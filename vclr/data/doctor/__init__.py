"""`vclr doctor data`: list all problems of a data set before training stops at the first one."""
