"""The result of `vclr doctor data`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vclr.finding import ERROR, WARNING, Finding


@dataclass
class Report:
    """All findings, and how many entries were checked."""

    findings: list[Finding] = field(default_factory=list)
    num_images: int = 0
    num_annotations: int = 0

    @property
    def num_errors(self) -> int:
        """The number of errors."""
        return sum(finding.level == ERROR for finding in self.findings)

    @property
    def num_warnings(self) -> int:
        """The number of warnings."""
        return sum(finding.level == WARNING for finding in self.findings)

    def summarize(self) -> str:
        """Return one line with the numbers of checked entries and of problems."""
        checked = f"{self.num_images} images, {self.num_annotations} annotations"
        return f"{checked}: {self.num_errors} errors, {self.num_warnings} warnings"

    def as_json(self) -> dict[str, Any]:
        """Return the report, ready for json."""
        counts = {"images": self.num_images, "annotations": self.num_annotations}
        counts |= {"errors": self.num_errors, "warnings": self.num_warnings}
        return {**counts, "findings": [finding._asdict() for finding in self.findings]}
