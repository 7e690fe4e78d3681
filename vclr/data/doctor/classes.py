"""Check the classes of a json against the class groups of an evaluation."""

from __future__ import annotations

from collections import Counter

from vclr.coco.file import CocoFile
from vclr.data.doctor import kinds
from vclr.data.doctor.annotations import Contents
from vclr.data.doctor.kinds import Use
from vclr.data.readiness import list_unknown_classes
from vclr.finding import Finding


def check_classes(coco: CocoFile, contents: Contents, groups: dict[str, list[str]], use: Use) -> list[Finding]:
    """Compare the categories of a json with the class groups of an evaluation: the names of each group's categories."""
    findings = []
    if len(contents.by_class) > 1:
        says = f"{coco.path}: has objects of {len(contents.by_class)} classes"
        findings += kinds.SEVERAL_CLASSES.found(use, says)
    by_id = {category["id"]: category["name"] for category in contents.categories}  # an entry may occur twice
    names = Counter(by_id.values())
    findings += _check_names(coco, names, use)
    if not groups or not use.evaluates:
        return findings
    for problem in list_unknown_classes(groups, contents.categories, str(coco.path)):
        findings += kinds.UNKNOWN_CLASS.found(use, problem)
    grouped = {name for wanted in groups.values() for name in wanted}
    for category in contents.categories:
        entry = f"{coco.path}: category {category['name']!r} (id {category['id']})"
        if category["name"] not in grouped and contents.by_class[category["id"]]:
            says = f"{entry} with {contents.by_class[category['id']]} annotations"
            findings += kinds.CLASS_IN_NO_GROUP.found(use, says)
    return findings


def _check_names(coco: CocoFile, names: Counter[str], use: Use) -> list[Finding]:
    """Find names that several categories share, and names that differ only in case and spaces."""
    findings = []
    by_form: dict[str, str] = {}
    for name, count in names.items():
        if count > 1:
            findings += kinds.SAME_CLASS_NAME.found(use, f"{coco.path}: {count} categories are called {name!r}")
        first = by_form.setdefault(" ".join(name.casefold().split()), name)
        if first != name:
            findings += kinds.SIMILAR_CLASS_NAME.found(use, f"{coco.path}: categories {first!r} and {name!r}")
    return findings
