"""Names that several rooms share, each written once. Imports no torch."""
