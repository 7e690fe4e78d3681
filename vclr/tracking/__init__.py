"""Experiment tracking: a training as an MLflow run, and the page that shows it."""
