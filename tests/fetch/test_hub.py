"""The Hugging Face hub, played by a local server: listing in pages, files at a commit, archives put in their places."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.fetch.conftest import Fetcher
from tests.fetch.packing import tarred, zipped
from tests.fetch.server import FileServer, Mood, serve
from vclr.files import read_json

REPOSITORY = "somebody/collection"
HUB = {
    "repository": REPOSITORY,
    "kind": "dataset",
    "places": {"": "raw/mine", "style_train/": "views/mine/style", "frames/": "raw/other/frames"},
    "skip": ["not_needed/", ".gitattributes"],
}


FILES = {
    ".gitattributes": b"* lfs",
    "README.md": b"hello",
    "split.json": b"{}",
    "style_train.tar.gz": tarred({"style_train/a.png": b"style a", "style_train/b.png": b"style b"}),
    "style_train/more.tar.gz": tarred({"c.png": b"style c"}),
    "frames/one/0.png": b"frame",
    "not_needed/big.zip": b"x" * 1000,
    "not_needed.zip": b"x" * 1000,
    "splits.zip": zipped({"other.json": b"[]"}),
}
IN_PLACE = {
    "raw/mine/README.md": b"hello",
    "raw/mine/split.json": b"{}",
    "raw/mine/other.json": b"[]",
    "views/mine/style/a.png": b"style a",
    "views/mine/style/b.png": b"style b",
    "views/mine/style/c.png": b"style c",
    "raw/other/frames/one/0.png": b"frame",
}


def entry(path: str, content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
    if path.endswith((".gz", ".zip", ".png")):
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return found


def publish(server: FileServer, files: dict[str, bytes], commit: str) -> None:
    """Serve what the hub says of a repository: its newest commit, the files of that one in two pages, their bytes."""
    api = f"/api/datasets/{REPOSITORY}"
    server.put(f"{api}/revision/main", json.dumps({"id": REPOSITORY, "sha": commit}).encode())
    entries = [{"type": "directory", "path": "style_train", "oid": "1" * 40, "size": 0}]
    entries += [entry(path, content) for path, content in files.items()]
    tree = f"{api}/tree/{commit}"
    pages = [f"{tree}?recursive=true&expand=false", f"{tree}?cursor=2"]
    following = {"Link": f'<{server.address}{pages[1]}>; rel="next"', "Content-Type": "application/json"}
    server.put(pages[0], json.dumps(entries[:4]).encode(), then=Mood(headers=following))
    server.put(pages[1], json.dumps(entries[4:]).encode())
    for path, content in files.items():
        server.put(f"/datasets/{REPOSITORY}/resolve/{commit}/{path}", content)


@pytest.fixture
def hub(fetcher: Fetcher, server: FileServer) -> FileServer:
    fetcher.write(mine={"hub": HUB})
    publish(server, FILES, "a" * 40)
    return server


def contents(fetcher: Fetcher) -> dict[str, bytes]:
    return {
        path: (fetcher.output / path).read_bytes() for path in fetcher.files() if not path.endswith("manifest.json")
    }


def test_repository_is_listed_fetched_and_put_in_its_places(fetcher: Fetcher, hub: FileServer):
    endpoint = hub.address
    text = fetcher.run("mine", "--dry-run", HF_ENDPOINT=endpoint).stdout
    assert "raw/other/frames/one/0.png" in text and "not_needed" not in text
    assert not fetcher.files() and not fetcher.lock.exists()
    fetcher.run("mine", HF_ENDPOINT=endpoint, HF_TOKEN="hf_secret")
    assert contents(fetcher) == IN_PLACE
    view = read_json(fetcher.output / "views/mine/style/manifest.json")
    assert {name: entry["sha256"] for name, entry in view["files"].items()} == {
        f"{name}.png": hashlib.sha256(f"style {name}".encode()).hexdigest() for name in "abc"
    }
    (fetcher.output / "views/mine/style/manifest.json").unlink()
    fetcher.run("mine", VCLR_OFFLINE="1")
    assert read_json(fetcher.output / "views/mine/style/manifest.json") == view
    fetched = [request for request in hub.log if "/resolve/" in request.path]
    assert all("Bearer hf_secret" in request.headers.values() for request in fetched)
    lock = read_json(fetcher.lock)
    listing = lock["listings"][f"datasets/{REPOSITORY}"]
    assert listing["commit"] == "a" * 40 and set(listing["files"]) == set(FILES)
    assert listing["files"]["split.json"]["sha256"] is None
    assert set(lock["files"]) == {"raw/mine/README.md", "raw/mine/split.json"}
    asked = len(hub.log)
    assert fetcher.run("mine", VCLR_OFFLINE="1").stdout == "mine: complete (6 files)\n"
    assert len(hub.log) == asked
    assert "hf_secret" not in fetcher.lock.read_text() + (fetcher.output / "raw/mine/manifest.json").read_text()


def test_part_of_a_repository(fetcher: Fetcher, hub: FileServer):
    fetcher.run("mine/frames", HF_ENDPOINT=hub.address)
    assert set(contents(fetcher)) == {"raw/other/frames/one/0.png"}
    fetcher.run("mine/split.json", HF_ENDPOINT=hub.address)
    assert "raw/mine/split.json" in contents(fetcher)
    line = fetcher.refused("mine/spilt.json", exit_code=2, HF_ENDPOINT=hub.address)
    assert "nearest: mine/split.json" in line


def test_what_was_listed_first_stays_until_the_lock_is_updated(fetcher: Fetcher, hub: FileServer):
    endpoint = hub.address
    fetcher.run("mine/split.json", HF_ENDPOINT=endpoint)
    new = {**FILES, "split.json": b'{"new": 1}', "frames/one/0.png": b"another frame"}
    publish(hub, new, "b" * 40)
    fetcher.run("mine/frames", HF_ENDPOINT=endpoint)
    assert contents(fetcher)["raw/other/frames/one/0.png"] == b"frame"
    fetcher.run("mine", "--update-lock", HF_ENDPOINT=endpoint)
    assert contents(fetcher)["raw/other/frames/one/0.png"] == b"another frame"
    assert read_json(fetcher.lock)["listings"][f"datasets/{REPOSITORY}"]["commit"] == "b" * 40


def test_commit_that_is_gone(fetcher: Fetcher, hub: FileServer):
    fetcher.run("mine/split.json", HF_ENDPOINT=hub.address)
    path = f"/datasets/{REPOSITORY}/resolve/{'a' * 40}/frames/one/0.png"
    del hub.files[path]
    line = fetcher.refused("mine/frames", HF_ENDPOINT=hub.address)
    assert "answers 404 Not Found" in line and "--update-lock lists it anew" in line


def test_token_stays_with_the_hub(fetcher: Fetcher, hub: FileServer):
    """The hub sends who asks for a large file to another host, which is not to know the token."""
    path = f"/datasets/{REPOSITORY}/resolve/{'a' * 40}/frames/one/0.png"
    with serve() as elsewhere:
        url = elsewhere.put("/bytes", b"frame")
        hub.put(path, b"", then=Mood(status=302, headers={"Location": url}))
        fetcher.run("mine/frames", HF_ENDPOINT=hub.address, HF_TOKEN="hf_secret")
        assert elsewhere.count("/bytes") and contents(fetcher)
        assert not any("hf_secret" in str(request.headers) for request in elsewhere.log)


def test_hub_that_does_not_answer(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine={"hub": HUB})
    line = fetcher.refused("mine", HF_ENDPOINT=server.address)
    assert f"datasets/{REPOSITORY}: the hub does not list its files" in line
    assert "mine: not known" in fetcher.run("mine", "--dry-run", HF_ENDPOINT="http://127.0.0.1:9").stdout
    assert not fetcher.files()


def test_listing_with_a_path_that_leaves_the_data_folder(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine={"hub": HUB})
    publish(server, {**FILES, "frames/../../../evil": b"evil"}, "a" * 40)
    assert "'frames/../../../evil' is not a path below" in fetcher.refused("mine", HF_ENDPOINT=server.address)
