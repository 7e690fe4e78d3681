"""Probes in the report: there if they are beside the results and of what was evaluated."""

import pytest

from tests.report.report_world import (
    NUM_FOUND,
    provenance_of,
    settings_of,
    write_data,
    write_probe,
    write_result,
    write_training,
)
from vclr.files import read_json, write_json
from vclr.report.probes import probe_section
from vclr.report.read_experiments import read_experiments

CLASSES = {"known": ["box"], "novel": ["<star> & co"]}
LINES = {name: number for number, name in enumerate(NUM_FOUND)}


@pytest.fixture
def world(tmp_path):
    coco = write_data(tmp_path)
    for name, num_found in NUM_FOUND.items():
        write_training(tmp_path, name, 0, settings_of(tmp_path, name))
        of = {**probed(tmp_path, name), "groups": CLASSES}
        write_result(tmp_path / "results" / name / "seed0", coco, num_found, provenance=of)
    return tmp_path


def probed(world, checkpoint):
    return provenance_of(world / "val.json", world / "images", checkpoint=checkpoint)


def section_of(world):
    return probe_section(read_experiments(list(NUM_FOUND), [0], world / "runs", world / "results"), LINES)


def test_rows_are_the_experiments_that_were_probed(world, caplog):
    assert section_of(world) is None
    kept = {"shuffled_patch": 0.9, "gray": None}
    write_probe(world / "results/baseline/seed0", kept, probed(world, "baseline"))
    write_probe(world / "results/views/seed0", {"gray": 0.3}, probed(world, "another"))
    write_probe(world / "results/full/seed0", {"edge": 0.5, "gray": 0.75}, probed(world, "full"))
    section = section_of(world)
    assert section["views"] == ["gray", "edge", "shuffled_patch"], "the control is the last"
    assert [group["name"] for group in section["groups"]] == ["novel", "known"]
    assert not section["have_same_renderings"]
    mean = "62 [50, 75]"
    assert section["groups"][0]["rows"] == [
        ("baseline", ["40.0", "–", "–", "90 [80, 100]", mean]),
        ("full", ["40.0", "75 [65, 85]", "50 [40, 60]", "–", mean]),
    ]
    (record,) = [record for record in caplog.records if "probe" in record.message]
    assert "results/views/seed0/probe.json: is not of the checkpoint, test set, weights and settings" in record.message


def test_renderings_are_the_same_if_name_source_and_seed_are(world):
    def are_same(**of_second):
        for name, more in (("baseline", {}), ("full", of_second)):
            write_probe(world / f"results/{name}/seed0", {"depth": 0.9}, probed(world, name), **more)
        return section_of(world)["have_same_renderings"]

    assert are_same()
    assert not are_same(source="other/depth")
    assert not are_same(seed=1)


def test_a_probe_of_another_headline_is_left_out(world, caplog):
    write_probe(world / "results/baseline/seed0", {"gray": 0.9}, probed(world, "baseline"))
    write_probe(world / "results/full/seed0", {"gray": 0.5}, probed(world, "full"), headline="box_ar@100")
    assert [name for name, _ in section_of(world)["groups"][0]["rows"]] == ["baseline"]
    assert "results/full/seed0/probe.json: is about box_ar@100, the other probes about mask_ar@100" in caplog.text


@pytest.mark.parametrize("changes", [{"checkpoint": None}, {"config": "another"}])
def test_a_probe_of_other_settings_or_beside_foreign_metrics_is_left_out(world, changes):
    write_probe(world / "results/full/seed0", {"gray": 0.5}, probed(world, "full"))
    assert section_of(world) is not None
    path = world / "results/full/seed0/metrics.json"
    content = read_json(path)
    write_json(path, {**content, "provenance": {**content["provenance"], **changes}})
    assert section_of(world) is None


def test_a_file_of_something_else_is_left_out(world, caplog):
    (world / "results/full/seed0/probe.json").write_text("[]")
    assert section_of(world) is None
    assert "was not written by this version of `vclr probe`" in caplog.text
