"""Where model, losses and data meet: the training loop and what it needs to stop and go on."""
