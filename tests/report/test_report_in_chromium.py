"""The report in a real browser: pictures, filters, keyboard, copied tables, no requests, no accessibility fault."""

import asyncio
import json
import re
import shutil
import subprocess
import tarfile

import pytest

from tests.report.chromium import CHROMIUM, in_chromium
from tests.report.report_world import NUM_FOUND, write_probe, write_world
from vclr.report.page import write_report

AXE = "axe-core@4.14.1"  # of npm, MPL-2.0; used by this test only

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    write_world(root)
    write_probe(root / "results/full/seed0", {"gray": 0.5, "shuffled_patch": 0.25})
    write_report(list(NUM_FOUND), [0], root / "runs", root / "results", root / "out", "in a browser")
    return root / "out" / "report.html"


def open_and(tmp_path, report, visit, **how):
    """Open the report, and check after the visit that it asked for nothing and raised nothing."""

    async def whole(page):
        await page.open(report, **how)
        answer = await visit(page)
        assert page.errors == []
        assert [url for url in page.requests if not url.startswith("data:")] == [report.resolve().as_uri()]
        return answer

    return in_chromium(tmp_path / "profile", whole)


def test_failures_are_filtered_and_looked_at_by_keyboard(tmp_path, report):
    async def visit(page):
        choose = """(name, value) => { const select = document.querySelector(`.filters [name=${name}]`);
            select.value = value; select.dispatchEvent(new Event("change")) }"""
        count = "document.querySelectorAll('.thumbs button').length"
        title = "document.querySelector('.failures dialog h4').textContent"
        everything = await page.run(count)
        await page.run(f"({choose})('kind', 'missed')")
        assert await page.run(count) == 1 + 2  # a known object; of the novel ones, two
        await page.run(f"({choose})('group', 'novel')")
        assert await page.run(count) == 2
        assert await page.run("document.querySelector('.filters output').textContent") == f"2 of {everything}"
        await page.run("document.querySelector('.thumbs button').focus()")
        await page.press("ArrowRight")
        await page.press("Enter")
        assert (await page.run(title)).startswith("2 of 2: <star> & co")
        assert await page.run("document.querySelectorAll('.panels figure').length") == 1 + len(NUM_FOUND)
        assert await page.run("document.querySelectorAll('.panels figure:first-child path.sought').length") == 1
        await page.press("ArrowRight")
        assert (await page.run(title)).startswith("1 of 2")
        await page.press("Escape")
        assert not await page.run("document.querySelector('.failures dialog').open")
        await page.run("new Promise(done => setTimeout(done, 100))")  # the focus moves after closing
        assert await page.run("document.activeElement === document.querySelector('.thumbs button')")
        await page.run(f"({choose})('kind', 'only')")
        await page.run(f"({choose})('run', 'baseline')")
        assert await page.run(count) == 0
        await page.run(f"({choose})('run', 'full')")
        assert await page.run(count) == 1

    open_and(tmp_path, report, visit)


def test_tables_are_copied_as_markdown_and_latex(tmp_path, report):
    async def visit(page):
        text = "document.querySelector('.copy textarea').value"
        await page.run("document.querySelectorAll('.tools button')[0].click()")
        markdown = (await page.run(text)).splitlines()
        await page.run("document.querySelector('.copy').close(); document.querySelectorAll('.tools button')[1].click()")
        return markdown, (await page.run(text)).splitlines()

    markdown, latex = open_and(tmp_path, report, visit)
    assert "| known classes mask AR@100 |" in markdown[0] and len(markdown) == 2 + len(NUM_FOUND)
    assert len({line.replace(r"\|", "").count("|") for line in markdown}) == 1
    assert "| **66.7** |" in markdown[-1]
    assert latex.count(r"\toprule") == latex.count(r"\midrule") == latex.count(r"\bottomrule") == 1
    assert r"\cmidrule(lr){5-7}" in latex
    (columns,) = [re.fullmatch(r"\\begin\{tabular\}\{(\w+)\}", line)[1] for line in latex if "{tabular}{" in line]
    for line in latex[latex.index(r"\toprule") + 1 : latex.index(r"\midrule")]:
        wider = sum(int(number) - 1 for number in re.findall(r"\\multicolumn\{(\d+)\}", line))
        assert line.startswith(r"\cmidrule") or line.count("&") + 1 + wider == len(columns)
    (row,) = [line for line in latex if line.startswith("full &")]
    assert r"& \textbf{66.7} &" in row and row.endswith(r" \\")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1600])
def test_the_page_fits_and_changes_colors(tmp_path, report, scheme, width):
    async def visit(page):
        assert await page.run("document.documentElement.scrollWidth") <= width
        paper = "getComputedStyle(document.body).backgroundColor"
        colors = {"light": "rgb(253, 253, 252)", "dark": "rgb(21, 24, 27)"}
        assert await page.run(paper) == colors[scheme]
        for choice in ("light", "dark"):
            await page.run("document.getElementById('scheme').click()")
            assert await page.run(paper) == colors[choice]

    open_and(tmp_path, report, visit, width=width, scheme=scheme)


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The source of axe-core."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    packed = subprocess.run(["npm", "pack", AXE], cwd=folder, capture_output=True, text=True, check=False)
    if packed.returncode:
        pytest.skip("needs npm's registry")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(tmp_path, report, axe, scheme):
    async def visit(page):
        await page.run(f"{axe};0")
        await page.run("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        closed = await page.run("axe.run()")
        await page.run("document.querySelector('.thumbs button').click()")
        await asyncio.sleep(0.2)
        return [*closed["violations"], *(await page.run("axe.run()"))["violations"]]

    found = open_and(tmp_path, report, visit, scheme=scheme)
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, json.dumps([(one["id"], one["nodes"][0]["html"]) for one in serious])
