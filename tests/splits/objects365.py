"""The 365 classes of Objects365 v2 in their order, as its files spell them."""

from pathlib import Path

OBJECTS365 = Path(__file__).with_name("objects365_classes.txt").read_text(encoding="utf-8").splitlines()
