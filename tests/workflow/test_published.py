"""The published experiments in miniature: from the downloads, with their official names, to the report, for real."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.fetch.conftest import CLEARED
from tests.fetch.server import FileServer, serve
from tests.shared import PHOTOS
from tests.workflow.conftest import Checkout
from tests.workflow.published_miniature import Miniature, place_objects365
from vclr.files import read_json

SMALL = ("train.max_iter=2", "dataloader.train.total_batch_size=2", "train.log_period=1", "tracking.enabled=false")


def use_small_detector(checkout: Checkout, experiment: str, more: str) -> None:
    """Let a published experiment train the small detector; its data sets stay."""
    path = checkout.folder / f"configs/experiment/{experiment}.yaml"
    path.write_text(f"base: ../small_detector.yaml\n{path.read_text()}\n{more}\n")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Serve nothing yet, and be the hub of the commands that the test runs."""
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("VCLR_FETCH_WAIT", "0.01")
    with serve() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


def run_rules(checkout: Checkout, *arguments: str) -> Counter[str]:
    """Run the workflow, and return how often each of its rules ran."""
    output = checkout.run("snakemake", *arguments)
    return Counter(re.findall(r"^(?:local)?rule (\w+):$", output, flags=re.MULTILINE))


def results_of(checkout: Checkout, path: str) -> dict[str, Any]:
    return read_json(checkout.folder / "results" / path / "metrics.json")


def measured(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of an evaluation, without what says when and of what it is."""
    numbers = {key: value for key, value in metrics.items() if re.match("(box|mask)_a[pr]", key)}
    assert numbers["box_ar@300"] > 0
    return numbers


OWN_EXPERIMENT = """
data:
  train: {annotations: data/splits/mine_train_voc.json, images: data/raw/mine/images}
  test: {annotations: data/raw/mine/annotations_val.json, images: data/raw/mine/images}
"""


def test_a_catalog_of_one_s_own_reaches_every_rule_that_fetches(checkout: Checkout):
    """What an experiment reads of a source in it is fetched; what is shipped is asked for with it too."""
    licence = {"name": "CC0", "commercial": True, "because": "made up"}
    files = [{"path": "raw/mine/images.zip", "urls": ["http://localhost/images.zip"], "unpack": "raw/mine"}]
    source = {"title": "Mine", "homepage": "http://localhost/", "licence": licence, "files": files}
    checkout.write("my sources.yaml", yaml.safe_dump({"mine": source}))
    checkout.write("configs/experiment/own.yaml", OWN_EXPERIMENT)
    config = ("--config", "catalog=my sources.yaml", "experiments=[own,voc_to_nonvoc]")
    output = checkout.run("snakemake", "all", "-np", "--cores", "1", *config)
    fetches = re.findall(r"vclr fetch .*", output)
    assert len(fetches) == 6
    assert all(line.startswith("vclr fetch --catalog 'my sources.yaml' ") for line in fetches)
    assert [line for line in fetches if " mine " in line]
    assert "vclr split voc --annotations data/raw/mine/annotations_train.json" in output


def test_a_catalog_that_is_wrong_is_one_line(checkout: Checkout):
    checkout.write("mine.yaml", "mine: {titel: Mine}\n")
    lines = checkout.run("snakemake", "all", "-n", "--config", "catalog=mine.yaml", check=False).splitlines()
    assert lines[-1] == "vclr: mine.yaml: mine: unknown key 'titel'; nearest: title"


def test_uvo_s_split_is_made_of_its_release_if_that_is_there(checkout: Checkout):
    target = ("snakemake", "data/splits/uvo_val_nonvoc.json", "-np", "--cores", "1")
    assert "vclr split one_class --annotations data/raw/uvo/uvo_nonvoc_val_rle.json" in checkout.run(*target)
    checkout.write("data/raw/uvo/uvo_val_dense.json", "{}")
    assert "vclr split uvo_nonvoc --annotations data/raw/uvo/uvo_val_dense.json" in checkout.run(*target)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for photos")
def test_from_downloads_to_report(checkout: Checkout, server: FileServer):
    """COCO, LVIS, UVO, Objects365 and OWIS; one model on two test sets; other layouts; other proposals, and back."""
    miniature = Miniature()
    checkout.write("mini.yaml", miniature.publish(server))
    use_small_detector(checkout, "voc_to_nonvoc", "evaluation: {protocols: [nonvoc, uvo]}")
    use_small_detector(checkout, "coco_to_lvis", "evaluation: {protocols: [lvis, objects365]}")
    place_objects365(miniature, checkout.folder)
    config = [
        "--cores",
        "2",
        "--config",
        "experiments=[voc_to_nonvoc,coco_to_lvis]",
        "untrained=[]",
        "catalog=mini.yaml",
    ]
    config += [f"overrides=[{','.join(SMALL)}]", "training_threads=1"]

    rules = run_rules(checkout, "all", *config)
    fetched = {"fetch": 4, "fetch_owis": 2, "fetch_view": 2, "fetch_weights": 1}
    assert rules == {**fetched, "published_split": 6, "train": 2, "evaluate": 4, "audit": 4, "report": 1, "all": 1}
    check_data(checkout, miniature)
    check_results(checkout)

    check_flat_photos(checkout, config)
    check_switch_of_proposals(checkout, config)


def check_data(checkout: Checkout, miniature: Miniature) -> None:
    """Check what the downloads became."""
    data = checkout.folder / "data"
    for view in ("depth", "style"):
        files = read_json(data / f"views/coco2017/{view}/manifest.json")["files"]
        assert set(files) == {image["file_name"] for image in miniature.train}
    lvis = read_json(data / "raw/lvis/lvis_v1_val.json")["images"]
    assert len(lvis) == len(miniature.val) + 2
    assert all((data / "raw/coco2017" / "/".join(image["coco_url"].split("/")[-2:])).is_file() for image in lvis)
    assert not (data / "raw/lvis/images").exists()
    assert not list(data.glob("raw/coco2017/*.zip"))
    for name in ("coco2017_train_voc_top10_cutler", "lvis_val_noncoco", "objects365_val_noncoco", "uvo_val_nonvoc"):
        split = read_json(data / f"splits/{name}.json")
        assert [category["name"] for category in split["categories"]] == ["object"]
    split = read_json(data / "splits/objects365_val_noncoco.json")
    flat = {name.split("/")[1] for name in miniature.patches}
    assert {image["file_name"] for image in split["images"]} <= flat
    record = read_json(data / "splits/uvo_val_nonvoc.record.json")
    assert record["annotations"]["file"] == "uvo_nonvoc_val_rle.json"


def check_results(checkout: Checkout) -> None:
    """Check that each experiment has one model and two test sets, and that the report names them."""
    for experiment, protocols in (("voc_to_nonvoc", ("nonvoc", "uvo")), ("coco_to_lvis", ("lvis", "objects365"))):
        found = [results_of(checkout, f"{experiment}/seed0/{protocol}") for protocol in protocols]
        sources = [one["provenance"] for one in found]
        assert [source["protocol"] for source in sources] == list(protocols)
        assert len({source["checkpoint"]["sha256"] for source in sources}) == 1
        assert len({source["test_set"]["sha256"] for source in sources}) == 2
        assert all(one["box_ar@100"] is not None for one in found)
    leaks = read_json(checkout.folder / "results/coco_to_lvis/leaks/lvis.json")
    assert leaks["leaked_images"] == 2
    report = (checkout.folder / "results/all/report.html").read_text(encoding="utf-8")
    assert "voc_to_nonvoc" in report and "coco_to_lvis" in report


def check_flat_photos(checkout: Checkout, config: list[str]) -> None:
    """Put Objects365's photos flat, as OWIS has them: the same test set, evaluated again, and nothing else."""
    before = results_of(checkout, "coco_to_lvis/seed0/objects365")
    split = (checkout.folder / "data/splits/objects365_val_noncoco.json").read_bytes()
    photos = checkout.folder / "data/raw/objects365/val"
    for photo in sorted(photos.rglob("*.jpg")):
        photo.rename(photos / photo.name)
    target = "results/coco_to_lvis/seed0/objects365/metrics.json"
    rules = run_rules(checkout, target, "--forcerun", "data/raw/objects365/FETCHED", *config)
    assert rules == {"fetch": 1, "published_split": 1, "evaluate": 1}
    assert (checkout.folder / "data/splits/objects365_val_noncoco.json").read_bytes() == split
    after = results_of(checkout, "coco_to_lvis/seed0/objects365")
    assert measured(after) == measured(before) and after["provenance"] == before["provenance"]


def check_switch_of_proposals(checkout: Checkout, config: list[str]) -> None:
    """Train on our own object proposals, then on the published ones again: nothing of one is in the other."""
    target = ("results/voc_to_nonvoc/seed0/nonvoc/metrics.json", *config)
    published = results_of(checkout, "voc_to_nonvoc/seed0/nonvoc")
    path = checkout.folder / "configs/experiment/voc_to_nonvoc.yaml"
    text, name = path.read_text(), "openworld_voc_classes_train2017"
    path.write_text(text.replace(f"names: {name}", f"names: {name}_graph"))
    rules = run_rules(checkout, *target)
    assert rules == {"proposals": 1, "published_split": 1, "train": 1, "evaluate": 1}
    own = results_of(checkout, "voc_to_nonvoc/seed0/nonvoc")
    assert own["provenance"]["checkpoint"]["sha256"] != published["provenance"]["checkpoint"]["sha256"]
    graph = read_json(checkout.folder / "data/splits/coco2017_train_voc_top10_graph.record.json")
    assert graph["proposals"]["file"] == "train_graph.json"
    path.write_text(text)
    assert run_rules(checkout, *target) == {"train": 1, "evaluate": 1}
    again = results_of(checkout, "voc_to_nonvoc/seed0/nonvoc")
    assert measured(again) == measured(published)
