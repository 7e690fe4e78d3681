"""The training loop, where model, losses and data meet, and everything it needs to stop and resume."""
