"""Views of a photo: rendered, written to files, read beside the photos."""
