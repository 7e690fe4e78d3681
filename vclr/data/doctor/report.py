"""What `vclr doctor data` says in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vclr.finding import ERROR, WARNING, Finding


@dataclass
class Report:
    """All that was found, and in how much."""

    findings: list[Finding] = field(default_factory=list)
    num_images: int = 0
    num_annotations: int = 0

    @property
    def num_errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.level == ERROR for finding in self.findings)

    @property
    def num_warnings(self) -> int:
        """How many findings are warnings."""
        return sum(finding.level == WARNING for finding in self.findings)

    def summarize(self) -> str:
        """Say in one line how much was checked, and how much is wrong."""
        checked = f"{self.num_images} images, {self.num_annotations} annotations"
        return f"{checked}: {self.num_errors} errors, {self.num_warnings} warnings"

    def as_json(self) -> dict[str, Any]:
        """Return everything, ready for json."""
        counts = {"images": self.num_images, "annotations": self.num_annotations}
        counts |= {"errors": self.num_errors, "warnings": self.num_warnings}
        return {**counts, "findings": [finding._asdict() for finding in self.findings]}
