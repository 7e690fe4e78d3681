"""Object proposals: made, written, chosen, joined to annotations."""
