"""What the platform costs: seconds and memory of a training step, of inference, of attention, of the loader."""
