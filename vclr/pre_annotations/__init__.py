"""Predictions as annotation tools import them: one module per format, named in the catalog."""
