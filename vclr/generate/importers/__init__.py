"""Convert the annotations of other tools to COCO json."""
