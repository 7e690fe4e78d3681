"""Downloads of data sets and weights: plan, download, verify, unpack, record."""
