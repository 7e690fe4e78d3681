"""Pure functions on tensors and images: geometry, sampling, attention, suppression, appearance."""
