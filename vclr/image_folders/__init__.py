"""Folders of images: on disk, packed in a zip, in patches, or several searched in order."""
