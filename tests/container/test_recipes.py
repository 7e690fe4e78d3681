"""The container recipes: both install in the same way, and the context that Docker gets holds what that needs."""

from __future__ import annotations

import os
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import tomllib
import yaml

import vclr
from tests.container.recipes import APPTAINER, DOCKER, fill_arguments, read_definition, read_dockerfile

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "container/install.sh"


def test_reader_of_dockerfiles():
    text = "# comment\nFROM a:b\nRUN one && \\\n    two\n"
    assert read_dockerfile(text) == [("FROM", "a:b"), ("RUN", "one && two")]


def test_both_recipes_install_by_the_same_script_from_the_same_debian():
    header, sections = read_definition(APPTAINER.read_text(encoding="utf-8"))
    steps = read_dockerfile(DOCKER.read_text(encoding="utf-8"))
    arguments = dict(text.split("=", 1) for word, text in steps if word == "ARG")
    (base,) = [text for word, text in steps if word == "FROM"]
    assert header == {"Bootstrap": "docker", "From": base.replace("${DEBIAN}", arguments["DEBIAN"])}
    (run,) = [text for word, text in steps if word == "RUN"]
    post = fill_arguments(sections["post"], sections, {})
    plain = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], run)
    assert [line.strip() for line in post.strip().splitlines()] == plain.split(" && ")
    assert dict(steps)["ENTRYPOINT"] == '["vclr"]' and 'exec vclr "$@"' in sections["runscript"]
    assert dict(steps)["USER"] == "vclr"


def test_recipes_have_the_version_and_the_labels_of_the_package():
    _, sections = read_definition(APPTAINER.read_text(encoding="utf-8"))
    of_apptainer = dict(line.split(maxsplit=1) for line in sections["labels"].strip().splitlines())
    (labels,) = [text for word, text in read_dockerfile(DOCKER.read_text(encoding="utf-8")) if word == "LABEL"]
    assert of_apptainer == dict(re.findall(r'(\S+?)="(.*?)"', labels))
    assert of_apptainer["org.opencontainers.image.version"] == vclr.__version__


def test_both_images_get_the_same_files():
    """`.dockerignore` lets through what %files copies, and nothing else of a folder in which somebody works."""
    _, sections = read_definition(APPTAINER.read_text(encoding="utf-8"))
    copied = {line.split()[0] for line in sections["files"].strip().splitlines()}
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    def is_sent(name: str) -> bool:
        sent = True
        for rule in rules:  # the last one that fits decides
            if fnmatch(name, rule.lstrip("!")):
                sent = rule.startswith("!")
        return sent

    assert {name for name in os.listdir(ROOT) if is_sent(name)} == copied
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("torch", ["cpuu", "rocm"])
def test_a_torch_that_there_is_not_is_refused_before_anything_is_installed(torch: str):
    done = subprocess.run(
        ["sh", str(INSTALL), str(ROOT)], env={**os.environ, "TORCH": torch}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, f"TORCH={torch}: must be cuda or cpu\n")


def test_conda_environment_installs_the_clone_with_its_constraints():
    """The lines for pip name files by `VCLR_ROOT`, which pip replaces: conda reads them in another folder."""
    environment = yaml.safe_load((ROOT / "workflow/envs/vclr.yaml").read_text(encoding="utf-8"))
    *packages, last = environment["dependencies"]
    assert "pip" in packages
    assert not [name for name in packages if name.startswith("python")], "Snakemake chooses the version"
    options = dict(line.replace("${VCLR_ROOT}", str(ROOT)).split() for line in last["pip"])
    assert options == {"--constraint": str(ROOT / "constraints.txt"), "--editable": str(ROOT)}


def test_catalog_of_extras_is_that_of_the_package():
    from vclr.catalog.extras import EXTRAS

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"])
