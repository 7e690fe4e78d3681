"""COCO json: checked, read entry by entry, selected, rasterized; and the annotation files that become it."""
