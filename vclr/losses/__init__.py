"""Losses and the matching behind them. They see outputs and targets, never a model."""
