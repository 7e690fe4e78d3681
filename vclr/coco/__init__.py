"""COCO json: read, check, select and rasterize annotations, also those of data sets that publish other formats."""
