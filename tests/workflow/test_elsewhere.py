"""The workflow in another folder, as a module of another workflow, in Snakemake's linter and in its report."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import ROOT, Checkout
from vclr.generate.toy import write_toy_world

MODULE = """\
module vclr:
    snakefile: "{root}/workflow/Snakefile"
    config: {{"experiments": ["demo_baseline"], "untrained": []}}

use rule * from vclr as vclr_*

rule mine:
    input: "results/all/report.html"
"""
SPLIT = "data/splits/toy_train_toy_known.json"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Checkout:
    """An empty folder."""
    (tmp_path / "elsewhere").mkdir()
    return Checkout(tmp_path / "elsewhere")


def test_other_folder_has_the_outputs_and_may_have_its_own_experiments(checkout, elsewhere):
    """A real target; then experiments and keys of the folder's own beside those of the workflow."""
    write_toy_world(elsewhere.folder / "data", num_train=2, num_val=2, size=64, quiet=True)
    before = {path for path in checkout.folder.rglob("*") if "__pycache__" not in path.parts}
    snakefile = ("--snakefile", str(checkout.folder / "Snakefile"))
    elsewhere.run("snakemake", SPLIT, *snakefile, "--cores", "1")
    assert json.loads((elsewhere.folder / SPLIT).read_text(encoding="utf-8"))["images"]
    assert {path for path in checkout.folder.rglob("*") if "__pycache__" not in path.parts} == before
    elsewhere.write("configs/workflow.yaml", "experiments: [mine, demo]\nuntrained: []\n")
    elsewhere.write("configs/experiment/mine.yaml", f"base: {checkout.folder}/configs/experiment/demo.yaml\n")
    shown = elsewhere.run("snakemake", *snakefile, "--dry-run", "--printshellcmds", "--cores", "1")
    used = re.findall(r"vclr launch --config-file (\S+)", shown)
    assert sorted(used) == sorted([f"{checkout.folder}/configs/experiment/demo.yaml", "configs/experiment/mine.yaml"])


def test_module_of_another_workflow(checkout, elsewhere):
    """Its keys complete those of the workflow; targets of the outer workflow are no mistakes."""
    elsewhere.write("Snakefile", MODULE.format(root=checkout.folder))
    plan = elsewhere.plan("mine")
    assert plan["vclr_train"] == 1 and plan["vclr_report"] == 1
    write_toy_world(elsewhere.folder / "data", num_train=2, num_val=2, size=64, quiet=True)
    elsewhere.run("snakemake", SPLIT, "--cores", "1")
    assert (elsewhere.folder / SPLIT).is_file()


def test_lint_has_no_finding_without_an_answer(checkout):
    """A comment with `snakemake --lint` quotes what it answers in its file; in workflow/Snakefile, for all files."""
    shown = checkout.run("snakemake", "--lint", check=False)
    found = set()
    for part in shown.split("Lints for ")[1:]:
        file = re.findall(r"(\S+?)\)?:\n", part)[0]
        found |= {(file.split("/copy/")[1], title.rstrip(":.")) for title in re.findall(r"^    \* (.*)$", part, re.M)}
    assert found, shown
    answered = {file: read_answers(ROOT / file) for file in {file for file, _ in found} | {"workflow/Snakefile"}}
    everywhere = answered["workflow/Snakefile"]
    assert {(file, title) for file, title in found if title not in answered[file] | everywhere} == set()
    stale = set().union(*answered.values()) - {title for _, title in found}
    assert not stale, f"answered, but no longer found: {stale}"


def read_answers(file: Path) -> set[str]:
    """Return the titles that the comments with `snakemake --lint` quote."""
    blocks = re.findall(r"(?:^#.*\n)+", file.read_text(encoding="utf-8"), re.M)
    text = " ".join(" ".join(line.lstrip("# ") for line in block.splitlines()) for block in blocks)
    return set(re.findall(r'"([^"]{20,})"', text)) if "`snakemake --lint`" in text else set()


def test_each_key_of_the_schema_is_described():
    schema = yaml.safe_load((ROOT / "workflow/schemas/workflow.schema.yaml").read_text(encoding="utf-8"))

    def undescribed(properties, path):
        for name, key in properties.items():
            if not key.get("description", "").endswith("."):
                yield f"{path}{name}"
            yield from undescribed(key.get("properties", {}), f"{path}{name}.")

    assert list(undescribed(schema["properties"], "")) == []
    assert schema["properties"].keys() == yaml.safe_load((ROOT / "config/config.yaml").read_text()).keys()


def test_files_that_the_workflow_catalog_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert usage["software-stack-deployment"]["report"] is True
    assert all((ROOT / name).is_file() for name in ("workflow/Snakefile", "config/README.md", "config/config.yaml"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_snakemakes_report_in_a_browser(finished, tmp_path):
    """The page of the comparison is shown with its picture and its caption; nothing is downloaded to make them."""
    picture = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/%3E"
    page = f'<p>Recall</p><img src="{picture}" onload="parent.postMessage(this.width, \'*\')">'
    finished.finish(probe := "results/demo/seed0/probe.json")
    finished.write("results/demo/report.html", page)
    offline = ("env", "https_proxy=http://127.0.0.1:9", "http_proxy=http://127.0.0.1:9")
    finished.run(*offline, "snakemake", "demo", probe, "--report", "all.html")
    finished.run(*offline, "snakemake", "demo", probe, "--report", "all.zip")
    shutil.unpack_archive(finished.folder / "all.zip", tmp_path / "zip")
    shown = [
        browse(path, "results/demo/report.html")
        for path in (finished.folder / "all.html", *tmp_path.glob("zip/*/*.html"))
    ]
    assert len(shown) == 2
    for text in shown:
        assert "Comparison of demo_baseline, demo_views, demo; seeds: 0." in text
        assert '<p id="seen">9</p>' in text
    text = browse(finished.folder / "all.html", "results/demo/seed0/metrics.json")
    assert "Average recall and precision of" in text and "its test set" in text and "seed 0" in text
    text = browse(finished.folder / "all.html", probe)
    assert "still finds if only the appearance of its test set changes" in " ".join(text.split())


def browse(report: Path, result: str) -> str:
    """Open a result and its caption as a click does, and return the text of the page after that."""
    before, end = report.read_text(encoding="utf-8").rsplit("</body>", 1)
    script = f"""
        window.onmessage = seen => document.body.insertAdjacentHTML("beforeend", `<p id="seen">${{seen.data}}</p>`);
        const entry = results["{result}"];
        setTimeout(() => app.setView(
            {{navbarMode: "resultinfo", resultPath: "{result}", content: "html", contentPath: entry.data_uri}}), 300);
    """
    copy = report.with_name("browsed.html")
    copy.write_text(f"{before}<script>{script}</script></body>{end}", encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom")
    done = subprocess.run(
        ["chromium", *options, copy.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    return re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)
