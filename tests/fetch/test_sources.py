"""The catalog: what is shipped is sound, and what is not is refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fetch.conftest import FIXED
from vclr.catalog.data_sets import DATA_SETS
from vclr.errors import UsageError, UserError
from vclr.fetch.selection import select
from vclr.fetch.sources import archive_stem, read_catalog

SHIPPED = read_catalog()
# As several public scripts have them.
DIGESTS = {
    "raw/coco2017/train2017.zip": ("cced6f7f71b7629ddf16f17bbcfab6b2", None, 19336861798),
    "raw/coco2017/val2017.zip": ("442b8da7639aecaf257c1dceb8ba8c80", None, 815585330),
    "raw/coco2017/annotations_trainval2017.zip": ("f4bbac642086de4f52a3fdda2de5fa2c", None, 252907541),
    "raw/lvis/lvis_v1_val.json.zip": ("87734a7f895990b9552075d7ce723e27", None, None),
    "raw/lvis/lvis_v1_train.json.zip": ("4410d837f71203af226950447ef9d422", None, None),
    "weights/adain/vgg_normalised.pth": (
        None,
        "804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a",
        80102481,
    ),
    "weights/adain/decoder.pth": (None, "379ca41d59f3a37eed3599bbbc2560c19da5c458870a5ffd3a9dd41aa88f9472", None),
}
# What may be used commercially; all else is made of somebody's photos.
SAFE = {"toy", "depth-anything", "weights/dino_resnet50_pretrain.pth", "weights/R-50.pkl"}


def test_shipped_sources():
    assert set(SHIPPED) == {"toy", "coco2017", "lvis", "uvo", "objects365", "owis", "weights", "depth-anything"}
    for source in SHIPPED.values():
        assert source.homepage.startswith("https://")
        for license in [source.license, *(file.license for file in source.files if file.license is not None)]:
            assert license.name and license.because and re.match("https://", license.url)
        assert source.files or source.hub or source.manual or source.generated


def test_checksums_and_sizes():
    files = {file.path: file for source in SHIPPED.values() for file in source.files}
    published = {path: file for path, file in files.items() if file.is_published}
    assert {path: (file.md5, file.sha256, file.bytes) for path, file in published.items()} == DIGESTS
    assert all(file.planned_bytes for file in files.values())
    assert all(file.unpacked_bytes for file in files.values() if file.unpack)


def test_photos_of_coco_have_three_addresses_the_last_of_them_without_a_certificate():
    for file in SHIPPED["coco2017"].files:
        assert [url.split("/")[2] for url in file.urls] == [
            "images.cocodataset.org",
            "s3.amazonaws.com",
            "images.cocodataset.org",
        ]
        assert file.urls[0].replace("https:", "http:") == file.urls[2]
        assert len({url.rpartition("/")[2] for url in file.urls}) == 1


def test_what_is_commercially_safe():
    safe = {name for name, source in SHIPPED.items() if source.license.commercial}
    safe |= {file.path for source in SHIPPED.values() for file in source.files if source.license_of(file).commercial}
    assert safe == SAFE


def test_catalog_of_data_sets_is_filled():
    """Every folder of photos and views that a training or an evaluation names comes from a source."""
    made = {"raw/toy/images", "views/toy/depth", "views/toy/style"}
    for source in SHIPPED.values():
        made |= {path for file in source.files for path in file.yields}
        made |= set(source.hub.places.values()) if source.hub else set()
        made |= set(source.manual.folders) if source.manual else set()
    for data_set in DATA_SETS.values():
        assert {*data_set.images, *data_set.view_folders.values()} <= made


def test_packed_photos_bear_the_name_of_their_folder():
    for path in ("raw/coco2017/train2017.zip", "raw/coco2017/val2017.zip"):
        (file,) = [file for file in SHIPPED["coco2017"].files if file.path == path]
        assert f"{file.unpack}/{archive_stem(path)}" in file.yields


def write(path: Path, **source: Any) -> Path:
    path.write_text(yaml.safe_dump({"mine": {**FIXED, **source}}))
    return path


FILE = {"path": "raw/mine/a.zip", "urls": ["http://localhost/a.zip"]}
BAD = {
    "unknown key": ({"licnce": "CC0"}, "mine: unknown key 'licnce'; nearest: license"),
    "unknown key of a file": ({"files": [{**FILE, "md": "1"}]}, "mine: files[0]: unknown key 'md'; nearest: md5"),
    "wrong type": ({"title": 5}, "mine: title: expected `str`, got `int`"),
    "no number": ({"files": [{**FILE, "bytes": "many"}]}, "mine: files[0]: bytes: expected `int | null`, got `str`"),
    "negative": ({"files": [{**FILE, "bytes": -1}]}, "mine: files[0]: bytes: expected `int` >= 0"),
    "no address": ({"files": [{"path": "raw/mine/a.zip"}]}, "mine: raw/mine/a.zip: has no `urls`"),
    "no path": ({"files": [{"urls": []}]}, "mine: files[0]: has no `path`"),
    "path outside": ({"files": [{**FILE, "path": "../a.zip"}]}, "'../a.zip' is not a path below the data folder"),
    "absolute path": ({"folder": "/etc"}, "'/etc' is not a path below the data folder"),
    "json outside": ({"counts": {"a/../../b": {"images": 1}}}, "'a/../../b' is not a path below the data folder"),
    "unknown key of the license of a file": (
        {"files": [{**FILE, "license": {"nmae": "CC0"}}]},
        "mine: files[0]: license: unknown key 'nmae'; nearest: name",
    ),
    "wrong type in a mapping": ({"counts": {"a.json": {"images": "many"}}}, "mine: counts: expected `int`, got `str`"),
    "address of a file": (
        {"files": [{**FILE, "urls": ["file:///etc/passwd"]}]},
        "mine: files[0]: urls[0]: expected `str` matching regex '^https?://'",
    ),
    "digest": (
        {"files": [{**FILE, "md5": "abc"}]},
        "mine: files[0]: md5: expected `str` matching regex '^[0-9a-f]{32}$'",
    ),
    "what a file does not hold": (
        {"files": [{**FILE, "unpack": "raw/mine", "yields": {"raw/other": 1}}]},
        "raw/other is not in the folder",
    ),
    "no archive": ({"files": [{**FILE, "path": "raw/a.pth", "unpack": "raw"}]}, "unpack: is not an archive"),
    "kind of hub": (
        {"hub": {"repository": "a/b", "kind": "space", "places": {}}},
        "mine: hub: kind: invalid enum value 'space'",
    ),
    "nothing to require": ({"requires": ["yours"]}, "mine: requires: there is no source 'yours'"),
    "generated": ({"generated": True}, "generated: only vclr's own sources are"),
}


@pytest.mark.parametrize("case", BAD)
def test_catalogs_that_are_refused(tmp_path: Path, case: str):
    change, says = BAD[case]
    path = write(tmp_path / "own.yaml", **change)
    with pytest.raises(UserError) as error:
        read_catalog(path)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_catalog_that_cannot_be_read(tmp_path: Path):
    odd = [("[" * 5000, "without end"), ("a: 2026-13-45", "not valid YAML"), ("a: " + "9" * 5000, "not valid YAML")]
    for content, says in (
        ("a: [", "not valid YAML"),
        ("- a", "is not a mapping"),
        ("a: 1", "a: is not a mapping"),
        *odd,
    ):
        (tmp_path / "own.yaml").write_text(content)
        with pytest.raises(UserError, match=says):
            read_catalog(tmp_path / "own.yaml")
    with pytest.raises(UserError, match="No such file"):
        read_catalog(tmp_path / "absent.yaml")


def test_own_catalog_adds_and_replaces(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"mine": FIXED, "lvis": {**FIXED, "title": "Another"}}))
    catalog = read_catalog(path)
    assert set(catalog) == {*SHIPPED, "mine"}
    assert catalog["lvis"].title == "Another"


def test_old_spellings_are_accepted_with_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    terms = FIXED["license"]
    old = {"title": "Old", "homepage": "http://localhost/licence:", "licence": terms, "annotations_licence": terms}
    links = {"raw/mine/images": {"annotations": "raw/mine/a.json", "photos": "raw/photos"}}
    source = {**old, "files": [{**FILE, "licence": terms}], "links": links}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"mine": source}))
    mine = read_catalog(tmp_path / "own.yaml")["mine"]
    assert mine.homepage == "http://localhost/licence:"
    assert mine.license == mine.annotations_license == mine.files[0].license
    assert [record.getMessage().partition("own.yaml: ")[2] for record in caplog.records] == [
        "the key `licence` is now spelled `license`",
        "mine: `links` is ignored; a data set may name several folders: data.test.images=[A,B]",
    ]


# --- names -----------------------------------------------------------------------------------------------------------


def paths_of(*names: str) -> dict[str, list[str]]:
    return {
        wanted.source.name: [file.path.rpartition("/")[2] for file in wanted.files()]
        for wanted in select(names, SHIPPED)
    }


def test_sources_and_parts():
    assert paths_of("coco2017/val2017", "coco2017/annotations") == {
        "coco2017": ["annotations_trainval2017.zip", "val2017.zip"]
    }
    assert paths_of("coco2017/raw/coco2017/val2017.zip") == {"coco2017": ["val2017.zip"]}
    assert paths_of("weights/R-50.pkl") == {"weights": ["R-50.pkl"]}
    assert paths_of("lvis/lvis_v1_train") == {"lvis": ["lvis_v1_train.json.zip"]}


def test_a_whole_source_comes_after_the_photos_that_it_shares(caplog: pytest.LogCaptureFixture):
    photos, annotations = ["val2017.zip", "train2017.zip"], ["lvis_v1_val.json.zip", "lvis_v1_train.json.zip"]
    assert paths_of("lvis") == {"coco2017": photos, "lvis": annotations}
    assert not caplog.records
    assert paths_of("lvis/images") == {"coco2017": photos, "lvis": annotations}
    assert "lvis/images: its photos are those of coco2017/train2017, coco2017/val2017" in caplog.text
    assert list(paths_of("lvis/lvis_v1_val", "lvis", "coco2017")) == ["coco2017", "lvis"]
    assert len(paths_of("lvis", "coco2017")["coco2017"]) == 3


def test_hub_is_asked_for_what_is_not_in_the_catalog():
    names = {"weights": True, "weights/R-50": False, "weights/vclr": True, "owis/uvo_nonvoc": True, "coco2017": False}
    assert {name: select([name], SHIPPED)[0].asks_hub() for name in names} == names


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("coco", "unknown source 'coco'; nearest: coco2017; there are toy, coco2017"),
        ("coco2017/tarin2017", "coco2017/tarin2017: there is no such part; nearest: coco2017/train2017"),
        ("weights/R50", "weights/R50: there is no such part; nearest: weights/R-50.pkl"),
        ("toy/images", "toy/images: toy has no parts"),
    ],
)
def test_names_that_nothing_has(name: str, says: str):
    with pytest.raises(UsageError, match=re.escape(says)):
        select([name], SHIPPED)
