"""The files in which a person states the terms of own data."""

from __future__ import annotations

# In the folder of the data or in one above; the second is the older spelling.
LICENSE_FILES = ("license.yaml", "licence.yaml")
