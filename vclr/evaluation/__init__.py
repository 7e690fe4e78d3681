"""How good a detector is: inference, recall, pictures, reports, studies."""
