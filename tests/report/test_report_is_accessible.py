"""The report without eyes, without color, without a mouse, on a narrow screen."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.report.document import Document
from tests.report.report_world import NUM_FOUND, write_data, write_probe, write_result, write_run, write_world
from vclr.report.curves import DASHES, LINE_COLORS, MARKERS, draw_curves, draw_line_sample
from vclr.report.page import write_report


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    coco = write_world(root)
    write_probe(root / "results/full/seed0", {"gray": 0.5, "shuffled_patch": 0.25})
    write_result(root / "results" / "full" / "untrained", coco, (1, 1))
    write_report(list(NUM_FOUND), [0], root / "runs", root / "results", root / "out", "accessible")
    return (root / "out" / "report.html").read_text()


@pytest.fixture(scope="module")
def document(page):
    return Document(page).root


def width_of(row):
    return sum(int(cell["colspan"] or 1) for cell in row.children)


def test_tables_have_captions_and_headers_with_scope(document):
    tables = list(document.walk("table"))
    # results, test set, recall by part and probe of two groups each, ledger, settings, runs, training, licenses
    assert len(tables) == 11
    for table in tables:
        assert table.children[0].tag == "caption"
        assert table.children[0].words()
        assert all(cell["scope"] in ("col", "row", "colgroup") for cell in table.walk("th"))
        assert all(cell.words() for cell in table.walk("th"))
        assert len({width_of(row) for row in table.walk("tr")}) == 1
        for body in table.walk("tbody"):
            assert all(row.children[0]["scope"] == "row" for row in body.walk("tr"))


def test_what_scrolls_is_reached_by_keyboard_and_has_a_name(document):
    areas = [element for element in document.walk("div") if "scroll" in (element["class"] or "").split()]
    assert len(areas) == 11 + 3  # tables; best fits, all predictions, scenes
    for area in areas:
        assert (area["tabindex"], area["role"]) == ("0", "region")
        assert area["aria-label"]
    assert len({area["aria-label"] for area in areas}) == len(areas)
    for element in document.walk("table"):
        assert element.parent in areas
    for element in document.walk("div"):
        if "pictures" in (element["class"] or "").split():
            assert element.parent in areas


def test_what_scrolls_can_be_seen_to(page):
    rule = re.search(r"^\.scroll \{(.*?)\n\}", page, re.DOTALL | re.MULTILINE)[1]
    assert "overflow-x: auto" in rule
    assert rule.count("var(--shade)") == 2  # a shadow at both edges
    assert rule.count("no-repeat local") == rule.count("no-repeat scroll") == 2
    assert re.search(r"\.scroll:focus-visible \{ outline: ", page)
    narrow = re.search(r"@media \(max-width: 600px\) \{\s*\.hint \{ display: block", page)
    assert narrow
    # results, two of probes, three of pictures, ledger, runs, licenses
    assert page.count('<p class="hint" aria-hidden="true">') == 9


def test_pictures_and_plots_have_words(document):
    for picture in document.walk("img"):
        assert picture["alt"]
    alts = [picture["alt"] for picture in document.walk("img")]
    assert len(set(alts)) == len(alts)
    for plot in document.walk("svg"):
        assert plot["aria-hidden"] == "true" or (plot["role"] == "img" and plot["aria-label"])
    labels = [plot["aria-label"] or "" for plot in document.walk("svg")]
    assert "mask_ar@100 in percent. baseline: novel 16.7, known 83.3; views: novel 50.0, known 83.3; " in " ".join(
        labels
    )


def test_headings_skip_no_level(document):
    levels = [int(heading.tag[1]) for heading in document.walk("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert levels.count(1) == 1


def looks(svg):
    """Return dashes and marker of each line of a plot: how they are without color."""
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    found = []
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        lines = [
            path for path in group.findall("{http://www.w3.org/2000/svg}path") if "--line" in path.get("style", "")
        ]
        markers = group.findall("{http://www.w3.org/2000/svg}defs/{http://www.w3.org/2000/svg}path")
        if lines and markers:
            dashes = re.search(r"stroke-dasharray: ([^;]*)", lines[0].get("style"))
            found.append((dashes[1] if dashes else "", markers[0].get("d")))
    return found


def test_lines_differ_without_color():
    history = [{"kind": "train", "iteration": 20 * step, "loss": 9.0 / step} for step in range(1, 40)]
    (plot,) = draw_curves({f"experiment {number}": [history] for number in range(9)})
    lines = looks(plot)
    assert len(lines) == len(set(lines)) == 9
    assert [looks(draw_line_sample(number)) for number in range(9)] == [[line] for line in lines]  # the legend's
    kinds = {(number % len(DASHES), number % len(MARKERS)) for number in range(35)}
    assert len(kinds) == 35
    assert len(LINE_COLORS) == 8


def test_names_are_escaped_in_plots(tmp_path):
    name = "a<b> & 'c'"
    write_run(tmp_path, write_data(tmp_path), "baseline", 0, (5, 1))
    for folder in ("runs", "results"):
        (tmp_path / folder / "baseline").rename(tmp_path / folder / name)
    write_report([name], [0], tmp_path / "runs", tmp_path / "results", tmp_path / "out", "escaped")
    text = (tmp_path / "out" / "report.html").read_text()
    assert "a<b>" not in text
    assert text.count("a&lt;b&gt; &amp; &#39;c&#39;") > 5
    Document(text)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["experiments"][name]
