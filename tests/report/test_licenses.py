"""The license ledger: what an experiment uses is found by where it lies, and what is not safe is refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.shared import PHOTOS
from tests.splits.made import write_record
from vclr.cli import main
from vclr.coco.record import record_path
from vclr.coco.repair import repair, save_repaired
from vclr.config import load_config
from vclr.errors import UserError
from vclr.fetch.sources import read_catalog
from vclr.report.licenses import Term, catalog_terms, count_licenses, refuse_unsafe, terms_in_use

ROOT = Path(__file__).parents[2]
LICENCES = [
    {"id": 1, "name": "Attribution-NonCommercial License", "url": "http://creativecommons.org/licenses/by-nc/2.0/"},
    {"id": 2, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"},
    {"id": 3, "name": "Attribution-NoDerivs License", "url": "http://creativecommons.org/licenses/by-nd/2.0/"},
    {"id": 4, "name": "No known copyright restrictions", "url": "http://flickr.com/commons/usage/"},
    {"id": 5, "name": "Ask me", "url": ""},
]


def write_photos(path: Path, licences: list[int]) -> Path:
    images = [{"id": number, "file_name": f"{number}.jpg", "license": kind} for number, kind in enumerate(licences)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": [], "licenses": LICENCES}))
    return path


def terms(root: Path, *overrides: str) -> dict[str, Term]:
    config = load_config(None, [f"data.root={root}", *overrides])
    return {term.what: term for term in terms_in_use(config)}


def test_published_experiment_names_every_source(tmp_path: Path):
    found = terms(tmp_path, f"train.init_checkpoint={tmp_path}/weights/dino_resnet50_pretrain.pth")
    assert {what: term.of for what, term in found.items()} == {
        "annotations (training)": "COCO 2017",
        "photos (training)": "COCO 2017",
        "view depth": "OWIS collection of v-CLR's authors",
        "view style": "OWIS collection of v-CLR's authors",
        "annotations (evaluation)": "COCO 2017",
        "photos (evaluation)": "COCO 2017",
        "first weights": "Published weights",
    }
    assert found["first weights"].license.name == "Apache-2.0"
    assert [what for what, term in found.items() if term.license.commercial] == [
        "annotations (training)",
        "annotations (evaluation)",
        "first weights",
    ]


def test_the_weights_of_a_backbone_are_named(tmp_path: Path):
    found = terms(tmp_path, "model.backbone.name=transformers", f"model.backbone.source={tmp_path}/mine")
    assert not found["first weights of the backbone"].license.commercial


def test_demo_is_safe():
    found = terms_in_use(load_config(ROOT / "configs/experiment/demo.yaml"))
    assert {term.of for term in found} == {"Toy scenes"}
    refuse_unsafe(found)


def test_what_a_split_was_made_of_decides(tmp_path: Path):
    path = write_photos(tmp_path / "splits/coco2017_train_voc_top10_cutler.json", [])
    (tmp_path / "raw/owis").mkdir(parents=True)
    (tmp_path / "raw/owis/published.json").touch()
    write_record(path, "published.json")
    assert terms(tmp_path)["annotations (training)"].of == "OWIS collection of v-CLR's authors"
    write_record(path, "instances_train2017.json", "published.json")
    found = terms(tmp_path)
    assert found["annotations (training)"].of == "COCO 2017"
    assert found["object proposals (training)"].of == "OWIS collection of v-CLR's authors"


def test_a_view_that_was_rendered_has_the_terms_of_its_photos(tmp_path: Path):
    (tmp_path / "views/coco2017/depth").mkdir(parents=True)
    (tmp_path / "views/coco2017/depth/manifest.json").write_text('{"view": "pseudo_depth"}')
    assert terms(tmp_path)["view depth"].of == "COCO 2017"


@pytest.mark.parametrize(
    ("info", "name", "is_safe"),
    [
        ({"license": "apache-2.0"}, "apache-2.0", True),
        ({"license": "cc-by-nc-4.0"}, "cc-by-nc-4.0", False),
        (
            {"sources": [{"info": {"license": "mit"}}, {"info": {"from": {"info": {"license": "secret"}}}}]},
            "mit, secret",
            False,
        ),
        ({"method": "graph"}, "not stated", False),
        ({"sources": [{"info": {"license": "mit"}}, {"info": {"method": "graph"}}]}, "mit", True),
        ({"sources": [{"info": {"license": "mit"}}, {"file": "cutler.json"}]}, "mit, not stated", False),
        ({"sources": [{"info": {"license": "mit"}}, {"info": {"method": "import"}}]}, "mit, not stated", False),
        ({"license": "mit", "from": {"file": "cutler.json"}}, "mit", True),
    ],
)
def test_proposals_state_their_terms(tmp_path: Path, info: dict[str, Any], name: str, is_safe: bool):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"info": info, "images": [], "annotations": []}))
    train = write_photos(tmp_path / "mine.json", [2])
    found = terms(tmp_path, f"data.train.annotations={train}", f"data.train.proposals={path}")
    license_of = found["object proposals (training)"].license
    assert (license_of.name, license_of.commercial) == (name, is_safe)


def test_weights_and_styles_of_a_rendered_view_are_named(tmp_path: Path):
    decoder = next(file for file in read_catalog()["weights"].files if file.path == "weights/adain/decoder.pth")
    own = {"name": "CC0", "commercial": True, "because": "they say so"}
    facts: dict[str, Any] = {"view": "style", "weights": {"decoder.pth": decoder.sha256, "mine.pth": "0" * 64}}
    folder = tmp_path / "views/coco2017/style"
    folder.mkdir(parents=True)
    for license, name in [(own, "CC0"), (None, "not stated")]:
        styles = {"pictures": 3, "sha256": "1" * 64, "license": license}
        (folder / "manifest.json").write_text(json.dumps({**facts, "styles": styles}))
        found = [
            term for term in terms_in_use(load_config(None, [f"data.root={tmp_path}"])) if "view style" in term.what
        ]
        says = [(term.what, term.path, term.license.name) for term in found[1:]]
        assert says == [
            ("weights of view style", "decoder.pth", "MIT"),
            ("weights of view style", "mine.pth", "not stated"),
            ("styles of view style", "3 pictures", name),
        ]
    (folder / "manifest.json").write_text(json.dumps({**facts, "styles": {"pictures": "generated"}}))
    assert "styles of view style" not in terms(tmp_path)
    with zipfile.ZipFile(tmp_path / "views/coco2017/style.zip", "w") as packed:
        packed.write(folder / "manifest.json", "manifest.json")
    shutil.rmtree(folder)
    assert terms(tmp_path)["weights of view style"].path == "mine.pth"


@pytest.mark.parametrize(
    ("license", "commercial"), [("apache-2.0", True), ("cc-by-nc-4.0", False), ("other", False), ("", False)]
)
def test_the_model_of_a_rendered_view_has_the_license_of_its_card(license: str, commercial: bool, tmp_path: Path):
    folder = tmp_path / "views/coco2017/depth"
    folder.mkdir(parents=True)
    facts = {"view": "depth", "model": "some/model", "revision": "1" * 40, **({"license": license} if license else {})}
    (folder / "manifest.json").write_text(json.dumps(facts))
    term = terms(tmp_path)["model of view depth"]
    assert (term.path, term.license.name) == ("some/model", license or "not stated")
    assert term.license.commercial == commercial


def test_own_data_says_its_terms_itself(tmp_path: Path):
    write_photos(tmp_path / "splits/mine_train_voc.json", [])
    (tmp_path / "raw/mine").mkdir(parents=True)
    own = [
        f"data.train.annotations={tmp_path}/splits/mine_train_voc.json",
        f"data.train.images={tmp_path}/raw/mine/images",
    ]
    found = terms(tmp_path, *own)
    assert found["photos (training)"].license.name == found["annotations (training)"].license.name == "not stated"
    (tmp_path / "raw/mine/licence.yaml").write_text("{name: ours, commercial: true, because: we took them}")
    found = terms(tmp_path, *own)
    assert found["photos (training)"].license.commercial and found["annotations (training)"].license.commercial
    (tmp_path / "raw/mine/license.yaml").write_text("{name: new, commercial: true, because: we took them}")
    assert terms(tmp_path, *own)["photos (training)"].license.name == "new"
    (tmp_path / "raw/mine/license.yaml").write_text("{name: ours, comercial: true, because: we took them}")
    with pytest.raises(UserError, match=r"license\.yaml: unknown key 'comercial'; nearest: commercial"):
        terms(tmp_path, *own)


@pytest.mark.parametrize(
    ("kinds", "is_safe", "says"),
    [
        ([2, 2], True, "all 2 photos allow it"),
        ([2, 4], True, "all 2 photos allow it"),
        ([2, 1, 1], False, "2 of 3 photos: non-commercial only"),
        ([3], False, "1 of 1 photos: no derivatives"),
        ([2, 5, 9], False, "2 of 3 photos: terms not known"),
    ],
)
def test_photos_count_by_their_own_licenses(tmp_path: Path, kinds: list[int], is_safe: bool, says: str):
    found = count_licenses(write_photos(tmp_path / "a.json", kinds))
    assert found is not None
    assert found.commercial == is_safe
    assert found.because == says


def test_json_without_licenses_says_nothing(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}')
    assert count_licenses(path) is None


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED")
def test_real_photos():
    every, permissive = (
        count_licenses(PHOTOS / f"{name}.json") for name in ("annotations", "annotations_permissive_licence")
    )
    assert every is not None and permissive is not None
    assert not every.commercial
    assert every.because == "62 of 100 photos: non-commercial only, 5 of 100 photos: no derivatives"
    assert permissive.commercial


def test_refusal_names_everything_and_why(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        refuse_unsafe(terms_in_use(load_config(None, [f"data.root={tmp_path}"])))
    line = str(caught.value)
    assert "\n" not in line
    for said in ("photos (training)", "view depth (none stated: derived from COCO's photos", "photos (evaluation)"):
        assert said in line
    assert "annotations" not in line


def test_catalog_lists_every_source():
    named = {term.what.partition(",")[0].partition("/")[0] for term in catalog_terms()}
    assert named == set(read_catalog())


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": []},
        {"annotations": {"file": 1, "sha256": "0"}},
        {"annotations": {}},
        {"proposals": {"file": "../x", "sha256": "0"}},
        {"output": None},
        {"split": 5},
    ],
    ids=str,
)
def test_damaged_record_is_one_line(change: dict[str, Any], tmp_path: Path):
    path = write_photos(tmp_path / "splits/own_train_voc.json", [1])
    overrides = f"data.train.annotations={path}", "data.train.images=x"
    write_record(path, "all.json", "p.json")
    terms(tmp_path, *overrides)
    record = json.loads(record_path(path).read_text())
    for damaged in ({**record, **change}, [], "text"):
        record_path(path).write_text(json.dumps(damaged))
        with pytest.raises(UserError, match="own_train_voc.record.json: .*make the split again"):
            terms(tmp_path, *overrides)


def test_repaired_json_has_the_terms_of_its_place(tmp_path: Path):
    path = write_photos(tmp_path / "raw/own/broken.json", [])
    save_repaired(repair(path), path.with_name("a.json"))
    found = terms(tmp_path, f"data.train.annotations={path.with_name('a.json')}", "data.train.images=x")
    assert found["annotations (training)"].of == "own data"


@pytest.mark.parametrize(("key", "value"), [("licenses", [1]), ("licenses", {"id": 1}), ("images", [[]])])
def test_odd_lists_of_licenses_are_one_line(key: str, value: Any, tmp_path: Path):
    content = json.loads(write_photos(tmp_path / "a.json", [1]).read_text())
    (tmp_path / "a.json").write_text(json.dumps({**content, key: value}))
    with pytest.raises(UserError, match=rf"a.json: .*{key}"):
        count_licenses(tmp_path / "a.json")


def test_licenses_with_ids_of_any_type_are_found(tmp_path: Path):
    content = json.loads(write_photos(tmp_path / "a.json", [2]).read_text())
    content["licenses"].append({"id": {"a": 1}, "name": "odd"})
    content["images"][0]["license"] = "2"
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = count_licenses(tmp_path / "a.json")
    assert found is not None
    assert found.commercial


def test_the_old_name_of_the_command_says_the_new_one(monkeypatch: Any, capsys: Any):
    arguments = ["--config-file", str(ROOT / "configs/experiment/demo.yaml"), "--json"]
    said = []
    for verb in ("licenses", "licences"):
        monkeypatch.setattr("sys.argv", ["vclr", verb, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        said.append(capsys.readouterr())
    assert [one.err for one in said] == [
        "",
        "vclr: `vclr licences` is now `vclr licenses`; the next release drops the old name\n",
    ]
    assert said[0].out == said[1].out
    entries = json.loads(said[0].out)
    assert {entry["license"]["name"] for entry in entries} == {"Apache-2.0"}
    assert all(entry["licence"] == entry["license"] for entry in entries), "scripts know this key"
