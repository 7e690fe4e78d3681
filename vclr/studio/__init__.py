"""Judge views before they are trained on: what each keeps of the photos, and what it changes."""
