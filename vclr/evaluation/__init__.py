"""How good a detector is: inference, recall, protocols."""
