"""Experiment tracking: a training as an MLflow run, and the page that shows it."""

from vclr.environment import describe_environment
from vclr.tracking.run import TrackedRun
from vclr.tracking.ui import open_ui

__all__ = ["TrackedRun", "describe_environment", "open_ui"]
