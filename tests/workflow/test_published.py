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


PUBLISHED = {
    "lvis": "one_class_flat --annotations data/raw/owis/openworld_lvis_noncoco_val_correct.json",
    "uvo": "one_class --annotations data/raw/uvo/uvo_nonvoc_val_rle.json",
    "objects365": "one_class_flat --annotations data/raw/owis/openworld_objects365_noncoco_val.json",
    "nonvoc": "nonvoc --annotations data/raw/coco2017/annotations/instances_val2017.json",
}
REBUILT = PUBLISHED | {
    "lvis": "lvis_noncoco --annotations data/raw/lvis/lvis_v1_val.json",
    "uvo": "uvo_nonvoc --annotations data/raw/uvo/uvo_val_dense.json",
    "objects365": "objects365_noncoco --annotations data/raw/objects365/zhiyuan_objv2_val.json",
}


def plan_protocols(checkout: Checkout, *config: str) -> str:
    protocols = ",".join(PUBLISHED)
    experiment = ("experiments=[voc_to_nonvoc]", f'overrides=["evaluation.protocols=[{protocols}]"]')
    return checkout.run("snakemake", "all", "-np", "--cores", "1", "--config", *experiment, *config)


@pytest.mark.parametrize(("config", "splits"), [((), PUBLISHED), (("evaluation_files=rebuilt",), REBUILT)])
def test_one_key_chooses_the_files_of_every_test_set(checkout: Checkout, config: tuple[str, ...], splits: dict):
    output = plan_protocols(checkout, *config)
    made = re.findall(r"vclr split (\w+ --annotations \S+) --output", output)
    assert sorted(made) == sorted(
        [*splits.values(), "one_class --annotations data/raw/owis/vCLR_voc_train2017_top10.json"]
    )
    chosen = re.findall(r"vclr (launch|evaluate|audit) .* evaluation\.files=(\w+) ", output)
    assert set(chosen) == {(verb, "rebuilt" if config else "published") for verb in ("launch", "evaluate", "audit")}
    assert len(chosen) == 1 + 4 + 4
    assert bool(re.search(r"vclr fetch (?:\S+ )?lvis ", output)) is bool(
        config
    )  # the published json needs no official one
    assert "--compare" not in output  # of none, both jsons are there


def test_without_the_key_each_experiment_chooses(checkout: Checkout):
    """Both files of one protocol are then evaluated, so both are there to be compared."""
    experiment = (checkout.folder / "configs/experiment/coco_to_lvis.yaml").read_text()
    checkout.write("configs/experiment/rebuilt.yaml", f"{experiment}evaluation: {{files: rebuilt}}\n")
    settings = (checkout.folder / "configs/workflow.yaml").read_text()
    checkout.write(
        "configs/workflow.yaml", settings.replace("\nevaluation_files: published\n", '\nevaluation_files: ""\n')
    )
    command = ("snakemake", "all", "-np", "--cores", "1", "--config", "experiments=[coco_to_lvis,rebuilt]")
    output = checkout.run(*command)
    assert re.findall(r"vclr split (\w+).*--comparison (\S+)", output) == [
        ("lvis_noncoco", "data/splits/lvis_val_noncoco.compared.json")
    ]
    assert "evaluation.files" not in output
    wrong = checkout.run(*command, "evaluation_files=official", check=False).splitlines()
    assert wrong[-1] == "vclr: evaluation.files=official: must be one of published, rebuilt"


@pytest.mark.parametrize(("config", "others"), [((), REBUILT), (("evaluation_files=rebuilt",), PUBLISHED)])
def test_files_are_compared_if_the_other_one_exists(checkout: Checkout, config: tuple[str, ...], others: dict):
    """Nothing is fetched for a comparison alone."""
    checkout.write(others["lvis"].split()[-1], "{}")
    checkout.write(others["uvo"].split()[-1], "{}")
    output = plan_protocols(checkout, *config)
    assert sorted(re.findall(r"--comparison (\S+)", output)) == [
        f"data/splits/{name}.compared.json" for name in ("lvis_val_noncoco", "uvo_val_nonvoc")
    ]
    assert bool(re.search(r"vclr fetch (?:\S+ )?lvis ", output)) is bool(config)
    assert "vclr fetch owis/openworld" not in output or not config


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
    fetched = {"fetch": 3, "fetch_owis": 4, "fetch_view": 2, "fetch_weights": 1}
    made = {"published_split": 6, "inspect_views": 2, "train": 2, "evaluate": 4, "audit": 4, "compare_files": 1}
    assert rules == {**fetched, **made, "report": 1, "all": 1}
    check_data(checkout, miniature)
    check_results(checkout)

    check_rebuilt_files(checkout, miniature, config)
    check_flat_photos(checkout, config)
    check_switch_of_proposals(checkout, config)


def check_data(checkout: Checkout, miniature: Miniature) -> None:
    """Check what the downloads became."""
    data = checkout.folder / "data"
    for view in ("depth", "style"):
        files = read_json(data / f"views/coco2017/{view}/manifest.json")["files"]
        assert set(files) == {image["file_name"] for image in miniature.train}
    assert not list(data.glob("raw/coco2017/*.zip"))
    assert not (data / "raw/lvis").exists()
    tests = [f"{name}_published" for name in ("lvis_val_noncoco", "objects365_val_noncoco", "uvo_val_nonvoc")]
    for name in ("coco2017_train_voc_top10_cutler", *tests):
        split = read_json(data / f"splits/{name}.json")
        assert [category["name"] for category in split["categories"]] == ["object"]
    check_flat_names(checkout, miniature, "objects365_val_noncoco_published")
    record = read_json(data / "splits/uvo_val_nonvoc_published.record.json")
    assert record["annotations"]["file"] == "uvo_nonvoc_val_rle.json"


def check_flat_names(checkout: Checkout, miniature: Miniature, name: str) -> None:
    split = read_json(checkout.folder / f"data/splits/{name}.json")
    assert {image["file_name"] for image in split["images"]} <= {name.split("/")[1] for name in miniature.patches}


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
    origins = {}
    for path in sorted((checkout.folder / "results").glob("*/seed0/*/metrics.json")):
        origins[path.parent.name] = read_json(path)["provenance"]["test_set"]["origin"]
    assert {name: (one["files"], one["json"]) for name, one in origins.items()} == {
        "lvis": ("published", "openworld_lvis_noncoco_val_correct.json"),
        "nonvoc": ("rebuilt", "instances_val2017.json"),
        "objects365": ("published", "openworld_objects365_noncoco_val.json"),
        "uvo": ("published", "uvo_nonvoc_val_rle.json"),
    }
    report = report_of(checkout)
    assert "voc_to_nonvoc" in report and "coco_to_lvis" in report
    for one in origins.values():
        assert f"{one['files']}, made from {one['json']} (sha256 {one['sha256']})" in report
    assert "no json of this test set is published" in report
    assert "The published annotations equal those rebuilt" in report  # Objects365's
    assert "not compared: data/raw/lvis/lvis_v1_val.json does not exist; get it with `vclr fetch lvis`" in report
    assert (
        "not compared: data/raw/uvo/uvo_val_dense.json does not exist; put it in place by hand (docs/data.md)" in report
    )


def report_of(checkout: Checkout) -> str:
    return (checkout.folder / "results/all/report.html").read_text(encoding="utf-8")


def check_rebuilt_files(checkout: Checkout, miniature: Miniature, config: list[str]) -> None:
    """Evaluate rebuilt files, which trains nothing; then published ones again, now compared with them."""
    target, data = "results/coco_to_lvis/seed0/lvis/metrics.json", checkout.folder / "data"
    before = results_of(checkout, "coco_to_lvis/seed0/lvis")
    rules = run_rules(checkout, target, *config, "evaluation_files=rebuilt")
    assert rules == {"fetch": 1, "published_split": 1, "evaluate": 1}
    origin = results_of(checkout, "coco_to_lvis/seed0/lvis")["provenance"]["test_set"]["origin"]
    assert (origin["files"], origin["json"]) == ("rebuilt", "lvis_v1_val.json")
    lvis = read_json(data / "raw/lvis/lvis_v1_val.json")["images"]
    assert len(lvis) == len(miniature.val) + 2
    assert all((data / "raw/coco2017" / "/".join(image["coco_url"].split("/")[-2:])).is_file() for image in lvis)
    assert not (data / "raw/lvis/images").exists()

    assert run_rules(checkout, "all", *config) == {"evaluate": 1, "compare_files": 1, "report": 1, "all": 1}
    assert measured(results_of(checkout, "coco_to_lvis/seed0/lvis")) == measured(before)
    compared = read_json(data / "splits/lvis_val_noncoco.compared.json")
    assert (compared["annotations"]["only_split"], compared["annotations"]["only_file"]) == (0, 1)
    assert len(compared["classes_only_file"]) == 1 and "" not in compared["classes_only_file"]
    report = report_of(checkout)
    assert "The published annotations differ from those rebuilt" in report
    assert f"{next(iter(compared['classes_only_file']))} 1</td>" in report
    assert run_rules(checkout, "all", *config) == {}


def check_flat_photos(checkout: Checkout, config: list[str]) -> None:
    """Put Objects365's photos flat, as OWIS has them: the same test set, evaluated again, and nothing else."""
    before = results_of(checkout, "coco_to_lvis/seed0/objects365")
    made = checkout.folder / "data/splits/objects365_val_noncoco_published.json"
    split = made.read_bytes()
    photos = checkout.folder / "data/raw/objects365/val"
    for photo in sorted(photos.rglob("*.jpg")):
        photo.rename(photos / photo.name)
    target = "results/coco_to_lvis/seed0/objects365/metrics.json"
    rules = run_rules(checkout, target, "--forcerun", "data/raw/objects365/FETCHED", *config)
    assert rules == {"fetch": 1, "evaluate": 1}
    assert made.read_bytes() == split
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
    followers = {"inspect_views": 1, "train": 1, "evaluate": 1}
    assert rules == {"proposals": 1, "published_split": 1, **followers}
    own = results_of(checkout, "voc_to_nonvoc/seed0/nonvoc")
    assert own["provenance"]["checkpoint"]["sha256"] != published["provenance"]["checkpoint"]["sha256"]
    graph = read_json(checkout.folder / "data/splits/coco2017_train_voc_top10_graph.record.json")
    assert graph["proposals"]["file"] == "train_graph.json"
    path.write_text(text)
    assert run_rules(checkout, *target) == followers
    again = results_of(checkout, "voc_to_nonvoc/seed0/nonvoc")
    assert measured(again) == measured(published)
