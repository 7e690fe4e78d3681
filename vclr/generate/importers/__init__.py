"""Annotations of other tools become COCO json."""
