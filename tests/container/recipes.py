"""Read the container recipes, and carry one out in a root file system as its engine would."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.container.debian import Debian

ROOT = Path(__file__).parents[2]
APPTAINER, DOCKER = ROOT / "container/vclr.def", ROOT / "container/Dockerfile"


def read_definition(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Split Apptainer's definition file into its header and its sections, by name."""
    header, *parts = re.split(r"^%(?=\w)", text, flags=re.MULTILINE)
    pairs = re.findall(r"^(\w+): *(\S+)$", header, flags=re.MULTILINE)
    sections = {part.split("\n", 1)[0].strip(): part.split("\n", 1)[1] for part in parts}
    return dict(pairs), sections


def fill_arguments(text: str, sections: dict[str, str], given: dict[str, str]) -> str:
    """Put the values of build arguments in the place of `{{ NAME }}`: those given, else those of %arguments."""
    values = dict(re.findall(r"^\s*(\w+)=(\S*)$", sections["arguments"], flags=re.MULTILINE)) | given
    return re.sub(r"\{\{ *(\w+) *\}\}", lambda match: values[match[1]], text)


def read_dockerfile(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile in order, each with its text, continuation lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined)]


def build(debian: Debian, sources: Path, given: dict[str, str]) -> dict[str, str]:
    """Carry out %files, %post and %test of container/vclr.def, and return its sections.

    Args:
        debian: the image.
        sources: the folder in which `apptainer build` would run: a clone.
        given: build arguments.
    """
    _, sections = read_definition(APPTAINER.read_text(encoding="utf-8"))
    for line in sections["files"].strip().splitlines():
        name, target = line.split()
        place = debian.root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (sources / name).is_dir() else shutil.copy2
        copy(sources / name, place)  # links are followed, as by Apptainer
    debian.run(fill_arguments(sections["post"], sections, given), "/", as_root=True)
    debian.run(sections["test"], "/")
    return sections
