"""`vclr fetch` as a person runs it: plan, fetch, unpack, record, again, verify, lock, offline."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fetch.conftest import Fetcher, environment
from tests.fetch.packing import zipped
from tests.fetch.server import FileServer, Mood, serve_proxy
from tests.processes import running
from vclr.errors import UsageError
from vclr.fetch.data_lock import DataLock
from vclr.fetch.fetch import fetch
from vclr.fetch.settings import Settings
from vclr.fetch.sources import read_catalog
from vclr.fetch.transfer import SMALLEST_BLOCK
from vclr.files import read_json, write_json

MakeBytes = Callable[[int], bytes]
PHOTOS = {f"photos/{number}.jpg": b"%d" % number * 100 for number in range(5)}


def archive_source(server: FileServer, files: dict[str, bytes] | None = None, **more: Any) -> dict[str, Any]:
    """Serve a zip of photos and return its source."""
    content = zipped(PHOTOS if files is None else files)
    file = {
        "path": "raw/mine/photos.zip",
        "urls": [server.put("/photos.zip", content)],
        "md5": hashlib.md5(content).hexdigest(),
        "bytes": len(content),
        "unpack": "raw/mine",
        "yields": {"raw/mine/photos": 5},
    }
    return {"files": [{**file, **more}]}


def plain_source(url: str, **more: Any) -> dict[str, Any]:
    return {"files": [{"path": "raw/mine/file.bin", "urls": [url], **more}]}


UNPACKED = {f"raw/mine/{name}" for name in PHOTOS}


# --- fetch -----------------------------------------------------------------------------------------------------------


def test_archive_is_fetched_unpacked_recorded_and_then_there(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server))
    assert "mine: 1 file to fetch" in fetcher.run("mine").stdout
    assert fetcher.files() == {*UNPACKED, "raw/mine/manifest.json"}
    manifest = read_json(fetcher.output / "raw/mine/manifest.json")
    record = manifest["files"]["raw/mine/photos.zip"]
    content = server.files["/photos.zip"][0]
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert (record["bytes"], record["url"]) == (len(content), f"{server.address}/photos.zip")
    assert (record["unpacked"]["num_files"], record["unpacked"]["bytes"]) == (5, 500)
    assert {path: entry["sha256"] for path, entry in record["unpacked"]["files"].items()} == {
        path: hashlib.sha256(photo).hexdigest() for path, photo in PHOTOS.items()
    }
    assert manifest["licence"]["name"] == "CC0" and manifest["source"] == "mine"
    asked = len(server.log)
    assert fetcher.run("mine").stdout == "mine: complete (1 file)\n"
    assert fetcher.run("mine", "--quiet").stdout == ""
    assert len(server.log) == asked
    assert not fetcher.lock.exists()  # its checksum is published


def test_archives_may_stay(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server))
    fetcher.run("mine", "--keep-archives")
    assert fetcher.files() == {*UNPACKED, "raw/mine/manifest.json", "raw/mine/photos.zip"}


def test_packed_and_later_unpacked(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server))
    fetcher.run("mine", "--packed")
    assert fetcher.files() == {"raw/mine/photos.zip", "raw/mine/manifest.json"}
    assert "complete (1 file)" in fetcher.run("mine", "--packed").stdout
    fetcher.run("mine", VCLR_OFFLINE="1")
    assert fetcher.files() == {*UNPACKED, "raw/mine/manifest.json"}
    assert server.count("/photos.zip") == 1
    assert "complete (1 file)" in fetcher.run("mine", "--packed").stdout


def test_what_is_packed_stays_packed_if_asked(fetcher: Fetcher, server: FileServer):
    """As the workflow fetches: zips of an earlier `--packed`, or put there by hand, stay; others are unpacked."""
    fetcher.write(mine=archive_source(server))
    fetcher.run("mine", "--packed")
    fetcher.run("mine", "--keep-packed")
    assert fetcher.files() == {"raw/mine/photos.zip", "raw/mine/manifest.json"}
    (fetcher.output / "raw/mine/manifest.json").unlink()
    fetcher.run("mine", "--keep-packed", VCLR_OFFLINE="1")
    assert fetcher.files() == {"raw/mine/photos.zip", "raw/mine/manifest.json"}
    (fetcher.output / "raw/mine/photos.zip").unlink()
    fetcher.run("mine", "--keep-packed")
    assert fetcher.files() == {*UNPACKED, "raw/mine/manifest.json"}


def json_source(server: FileServer) -> dict[str, Any]:
    """Serve a zip of one json, as LVIS has it, and return its source."""
    content = {"images": [{"id": 1, "file_name": "1.jpg", "height": 9, "width": 9}], "annotations": []}
    source = archive_source(server, {"val.json": json.dumps(content).encode()}, path="raw/mine/val.json.zip")
    source["files"][0]["yields"] = {"raw/mine/val.json": 1}
    return {**source, "counts": {"raw/mine/val.json": {"images": 1}}}


@pytest.mark.parametrize("altered", ['{"images": [{"id": 1', None], ids=["truncated", "other bytes"])
def test_verify_looks_at_a_json_that_was_put_or_linked_there(
    fetcher: Fetcher, server: FileServer, tmp_path: Path, altered: str | None
):
    fetcher.write(mine=json_source(server))
    own = tmp_path / "elsewhere.json"
    own.write_text(
        json.dumps({"images": [{"id": 1, "file_name": "2.jpg", "height": 9, "width": 9}], "annotations": []})
    )
    linked = fetcher.output / "raw/mine/val.json"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(own)
    fetcher.run("mine")
    fetcher.run("mine", "--verify")
    assert server.count("/photos.zip") == 0
    own.write_text(altered or own.read_text().replace("2.jpg", "3.jpg"))
    line = fetcher.refused("mine", "--verify")
    assert "raw/mine/val.json" in line and "put them in place again" in line
    (fetcher.output / "raw/mine/manifest.json").unlink()
    if altered:  # nothing was ever recorded of it
        assert "val.json" in fetcher.refused("mine", "--verify")


def test_packed_archive_with_too_few_files(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server, dict(list(PHOTOS.items())[:4])))
    assert "photos.zip: holds 4 files in photos, expected 5" in fetcher.refused("mine", "--packed")
    assert "photos.zip: holds 4 files in photos, expected 5" in fetcher.refused("mine")
    assert not UNPACKED & fetcher.files()


def test_malicious_archive(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server, {**PHOTOS, "../../../evil": b"evil"}))
    assert "does not stay in the folder; nothing is unpacked" in fetcher.refused("mine")
    assert not UNPACKED & fetcher.files()
    assert not list(fetcher.folder.rglob("evil"))


def test_part_of_a_source(fetcher: Fetcher, server: FileServer):
    source = archive_source(server)
    source["files"].append({"path": "raw/mine/list.txt", "urls": [server.put("/list.txt", b"1 2 3")], "bytes": 5})
    fetcher.write(mine=source)
    fetcher.run("mine/list")
    assert fetcher.files() == {"raw/mine/list.txt", "raw/mine/manifest.json"}
    fetcher.run("mine")
    assert fetcher.files() == {*UNPACKED, "raw/mine/list.txt", "raw/mine/manifest.json"}
    assert server.count("/list.txt") == 1
    assert "nearest: mine/list.txt" in fetcher.refused("mine/lits", exit_code=2)


def test_many_small_files(fetcher: Fetcher, server: FileServer):
    files = [
        {"path": f"raw/mine/{n}.txt", "urls": [server.put(f"/{n}", b"%d" % n, Mood(status=503))], "bytes": 1}
        for n in range(9)
    ]
    fetcher.write(mine={"files": files})
    fetcher.run("mine")
    assert {(fetcher.output / f"raw/mine/{n}.txt").read_text() for n in range(9)} == set("012345678")
    assert set(read_json(fetcher.lock)["files"]) == {f"raw/mine/{n}.txt" for n in range(9)}


def test_mirror_is_tried_first(fetcher: Fetcher, server: FileServer):
    content = zipped(PHOTOS)
    fetcher.write(mine=archive_source(server))
    server.put("/mirror/raw/mine/photos.zip", content)
    fetcher.run("mine", VCLR_MIRROR=f"{server.address}/mirror/")
    assert [request.path for request in server.log] == ["/mirror/raw/mine/photos.zip"]


def test_mirror_that_has_it_not_or_wrong(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server))
    server.put("/mirror/raw/mine/photos.zip", b"x" * 1000)
    fetcher.run("mine", "--mirror", f"{server.address}/mirror")
    fetcher.output.rename(fetcher.folder / "aside")
    fetcher.run("mine", "--mirror", f"{server.address}/elsewhere")
    assert server.count("/photos.zip") == 2


def test_error_names_file_addresses_and_reasons(fetcher: Fetcher, server: FileServer):
    urls = [f"{server.address}/nowhere", server.put("/wrong", b"wrong")]
    fetcher.write(mine=archive_source(server, urls=urls))
    line = fetcher.refused("mine")
    assert f"photos.zip: could not be downloaded: {urls[0]}: answers 404 Not Found; {urls[1]}: md5 is " in line
    assert fetcher.files() == {"raw/mine/manifest.json"}


def test_files_of_somebody_else_are_taken_for_there(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server))
    for path, content in PHOTOS.items():
        (fetcher.output / "raw/mine" / path).parent.mkdir(parents=True, exist_ok=True)
        (fetcher.output / "raw/mine" / path).write_bytes(content)
    assert "complete (counted, not fetched here)" in fetcher.run("mine", "--dry-run").stdout
    fetcher.run("mine")
    (fetcher.output / "raw/mine/photos/4.jpg").unlink()
    assert "to be fetched" in fetcher.run("mine", "--dry-run").stdout
    fetcher.run("mine")
    assert server.count("/photos.zip") == 1
    assert fetcher.files() >= UNPACKED


def test_archive_that_a_person_put_there(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server))
    (fetcher.output / "raw/mine").mkdir(parents=True)
    (fetcher.output / "raw/mine/photos.zip").write_bytes(server.files["/photos.zip"][0])
    fetcher.run("mine")
    assert fetcher.files() >= UNPACKED and not server.log
    (fetcher.folder / "data").rename(fetcher.folder / "aside")
    (fetcher.output / "raw/mine").mkdir(parents=True)
    (fetcher.output / "raw/mine/photos.zip").write_bytes(b"half of it")
    assert "downloading it again" in fetcher.run("mine").stderr
    assert fetcher.files() >= UNPACKED and len(server.log) == 1


def test_generated_source_is_left_to_who_generates_it(tmp_path: Path):
    called: list[str] = []
    fetch(["toy"], read_catalog(), Settings(tmp_path / "data"), called.append)
    fetch(["toy"], read_catalog(), Settings(tmp_path / "data"), called.append, dry_run=True)
    assert called == ["toy"] and not list(tmp_path.iterdir())


# --- plan ------------------------------------------------------------------------------------------------------------


def test_dry_run_writes_nothing_and_needs_no_network(fetcher: Fetcher, server: FileServer):
    source = archive_source(server, bytes=20_000_000_000, unpacked_bytes=30_000_000_000, sha256="0" * 64)
    fetcher.write(mine=source, other=plain_source("http://nowhere.invalid/", about_bytes=5_000_000))
    before = sorted(fetcher.folder.iterdir())
    text = fetcher.run("mine", "other", "toy", "--dry-run", "--mbit", "1000", VCLR_OFFLINE="1").stdout
    lines = text.splitlines()
    assert lines[0].split() == ["file", "size", "checksum", "goes", "to", "state"]
    assert lines[1].split()[:4] == ["raw/mine/photos.zip", "20.0", "GB", "sha256"]
    assert lines[1].endswith("  to be fetched")
    assert "about 5.0 MB" in lines[2] and "recorded on first fetch" in lines[2]
    assert lines[3].split() == ["toy", "-", "-", "raw/toy", "generated"]
    assert "to download: 20.0 GB; at 1000 Mbit/s 3 min" in text
    assert "disk: needs at most 50.0 GB (download, unpacked)" in text
    assert sorted(fetcher.folder.iterdir()) == before and not server.log


def test_shipped_plan_works_without_a_network(fetcher: Fetcher):
    fetcher.write()
    text = fetcher.run("coco2017", "lvis", "uvo", "objects365", "owis", "weights", "--dry-run", VCLR_OFFLINE="1").stdout
    assert "train2017.zip" in text and "19.3 GB" in text and "put it there by hand" in text
    assert "owis: not known" in text
    assert list(fetcher.folder.iterdir()) == [fetcher.catalog]


def test_what_does_not_fit_is_not_started(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server, bytes=10**16), other=plain_source(server.put("/file", b"1")))
    line = fetcher.refused("other", "mine")
    assert "needs 25.0 PB, free are " in line and "nothing was started" in line
    assert not server.log and not fetcher.files()
    assert "does not fit" in fetcher.run("mine", "--dry-run").stdout


def test_commercial_safe(fetcher: Fetcher, server: FileServer):
    unsafe = {"name": "CC BY-NC 4.0", "commercial": False, "because": "non-commercial, it says"}
    source = archive_source(server, license=unsafe)
    source["files"].append({"path": "raw/mine/list.txt", "urls": [server.put("/list.txt", b"1 2 3")], "bytes": 5})
    fetcher.write(mine=source)
    assert "mine: CC BY-NC 4.0 (non-commercial, it says)" in fetcher.refused("mine", "--commercial-safe")
    assert not server.log
    fetcher.run("mine/list.txt", "--commercial-safe")


# --- again -----------------------------------------------------------------------------------------------------------


def test_verify_finds_damage_and_mends_it(fetcher: Fetcher, server: FileServer):
    source = archive_source(server)
    source["files"].append({"path": "raw/mine/list.txt", "urls": [server.put("/list.txt", b"1 2 3")], "bytes": 5})
    fetcher.write(mine=source)
    fetcher.run("mine")
    photo, text = fetcher.output / "raw/mine/photos/3.jpg", fetcher.output / "raw/mine/list.txt"
    photo.write_bytes(b"4" * 100)  # as long as it should be
    text.write_bytes(b"1 2 4")
    assert "complete (2 files)" in fetcher.run("mine").stdout
    done = fetcher.run("mine", "--verify")
    assert "photos.zip: damaged: raw/mine/photos/3.jpg" in done.stderr
    assert "list.txt: damaged" in done.stderr
    assert photo.read_bytes() == PHOTOS["photos/3.jpg"] and text.read_bytes() == b"1 2 3"
    assert "damaged" not in fetcher.run("mine", "--verify").stderr
    assert server.count("/photos.zip") == server.count("/list.txt") == 2


def test_file_of_another_size_is_fetched_again(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server))
    fetcher.run("mine")
    (fetcher.output / "raw/mine/photos/3.jpg").write_bytes(b"short")
    fetcher.run("mine")
    assert (fetcher.output / "raw/mine/photos/3.jpg").read_bytes() == PHOTOS["photos/3.jpg"]
    assert server.count("/photos.zip") == 2


def test_counts_of_a_json(fetcher: Fetcher, server: FileServer):
    world = b'{"info": {"a": [{}]}, "images": [{"id": 1}, {"id": "]}{"}], "annotations": [{"segmentation": [[1, 2]]}]}'
    source = plain_source(server.put("/a.json", world), path="raw/mine/a.json")
    fetcher.write(mine={**source, "counts": {"raw/mine/a.json": {"images": 2, "annotations": 1}}})
    fetcher.run("mine")
    assert fetcher.run("mine").stdout == "mine: complete (1 file)\n"
    fetcher.write(mine={**source, "counts": {"raw/mine/a.json": {"images": 3, "annotations": 1}}})
    for _ in range(2):
        assert "a.json: holds 2 images, expected 3" in fetcher.refused("mine")


# --- data.lock -------------------------------------------------------------------------------------------------------


def test_lock_holds_a_file_to_what_it_was_first(fetcher: Fetcher, server: FileServer):
    url = server.put("/file.bin", b"first")
    fetcher.write(mine=plain_source(url))
    fetcher.run("mine")
    entry = read_json(fetcher.lock)["files"]["raw/mine/file.bin"]
    assert (entry["bytes"], entry["sha256"], entry["url"]) == (5, hashlib.sha256(b"first").hexdigest(), url)
    fetcher.output.rename(fetcher.folder / "aside")
    server.put("/file.bin", b"other")
    before = fetcher.lock.read_text()
    line = fetcher.refused("mine")
    assert f"data.lock has it since {entry['since']}; --update-lock accepts another" in line
    assert fetcher.lock.read_text() == before and not (fetcher.output / "raw/mine/file.bin").exists()
    fetcher.run("mine", "--update-lock")
    assert (fetcher.output / "raw/mine/file.bin").read_bytes() == b"other"
    assert read_json(fetcher.lock)["files"]["raw/mine/file.bin"]["sha256"] == hashlib.sha256(b"other").hexdigest()
    fetcher.run("mine")


def test_local_file_that_the_lock_does_not_know(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=plain_source(server.put("/file.bin", b"first")))
    fetcher.run("mine")
    lock = read_json(fetcher.lock)
    lock["files"]["raw/mine/file.bin"].update(sha256="0" * 64, since="2020-01-01")
    write_json(fetcher.lock, lock)
    assert "since 2020-01-01; --update-lock accepts another); or remove the file" in fetcher.refused("mine")
    fetcher.run("mine", "--update-lock")
    assert read_json(fetcher.lock)["files"]["raw/mine/file.bin"]["sha256"] == hashlib.sha256(b"first").hexdigest()
    fetcher.lock.unlink()
    fetcher.run("mine")
    assert "raw/mine/file.bin" in read_json(fetcher.lock)["files"]


def test_lock_lies_beside_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    assert DataLock(Path(".")).path == DataLock(tmp_path / "data").path == tmp_path / "data.lock"
    assert DataLock(Path("data")).path == Path("data.lock")
    with pytest.raises(UsageError, match="--output /: cannot be the data folder"):
        DataLock(Path("/"))


def test_lock_that_is_none(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=plain_source(server.put("/file.bin", b"first")))
    for content in ("[1]", '{"files": {"a": 1}}', "{"):
        fetcher.lock.write_text(content)
        assert "data.lock" in fetcher.refused("mine")


# --- surroundings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["VCLR_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(fetcher: Fetcher, server: FileServer, variable: str):
    source = archive_source(server)
    fetcher.write(mine=source, other=plain_source(server.put("/file.bin", b"1")))
    fetcher.run("mine")
    asked = len(server.log)
    fetcher.run("mine", "--verify", **{variable: "1"})
    line = fetcher.refused("mine", "other", **{variable: "1"})
    assert f"offline ({variable}=1)" in line and "raw/mine/file.bin" in line
    (fetcher.output / "raw/mine/photos/3.jpg").write_bytes(b"4" * 100)
    assert "photos.zip" in fetcher.refused("mine", "--verify", **{variable: "1"})
    assert len(server.log) == asked


def test_proxy(fetcher: Fetcher, server: FileServer):
    fetcher.write(mine=archive_source(server, urls=["http://files.invalid/photos.zip"]))
    with serve_proxy(server.address) as (address, log):
        fetcher.run("mine", "--parts", "1", http_proxy=address)
    assert log == ["http://files.invalid/photos.zip"]


@pytest.mark.parametrize(
    "arguments", [["--parts", "0"], ["--mbit", "0"], ["--partz", "2"], []], ids=lambda value: " ".join(value)
)
def test_misuse(fetcher: Fetcher, arguments: list[str]):
    fetcher.write()
    assert fetcher.try_to(*arguments).returncode == 2
    assert "VCLR_FETCH_WAIT=soon" in fetcher.refused("toy", exit_code=2, VCLR_FETCH_WAIT="soon")


# --- several at once, and killed -------------------------------------------------------------------------------------


def test_two_fetches_at_once(fetcher: Fetcher, server: FileServer, random_bytes: MakeBytes):
    content = random_bytes(3_000_000)
    url = server.put("/file.bin", content, then=Mood(pause=0.1))  # longer than the second one needs to start
    fetcher.write(mine=plain_source(url, bytes=len(content)))
    pipes: dict[str, Any] = {"env": environment(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(fetcher.command("mine"), **pipes) as one:
        wait_for(lambda: server.sent("/file.bin") > 100_000)
        with running(fetcher.command("mine"), **pipes) as two:
            out, said = two.communicate(timeout=60)
        assert two.returncode == 0 and one.wait(timeout=60) == 0
    assert "mine: another process fetches it" in said and "mine: complete" in out
    assert server.sent("/file.bin") == len(content)
    assert (fetcher.output / "raw/mine/file.bin").read_bytes() == content


@pytest.mark.parametrize("num_kills", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_killed_fetch_goes_on(fetcher: Fetcher, server: FileServer, random_bytes: MakeBytes, num_kills: int):
    content = random_bytes(8 * SMALLEST_BLOCK)
    url = server.put("/file.bin", content, then=Mood(pause=0.03))  # four connections: 8 MB a second
    fetcher.write(mine=plain_source(url, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)))
    target, chance = fetcher.output / "raw/mine/file.bin", random.Random(num_kills)
    for _ in range(num_kills):
        before = server.sent("/file.bin")
        with running(fetcher.command("mine"), env=environment(), stdout=subprocess.DEVNULL) as process:
            wait_for(lambda before=before: server.sent("/file.bin") > before or process.poll() is not None)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 1.2) if num_kills > 1 else 1.6)
            process.kill()
            process.wait()
        assert not target.exists() or target.read_bytes() == content
    fetcher.run("mine")
    assert target.read_bytes() == content
    assert fetcher.files() == {"raw/mine/file.bin", "raw/mine/manifest.json"}
    if num_kills == 1:
        assert server.sent("/file.bin") < 1.5 * len(content)


@pytest.mark.parametrize(
    "moment", [0.03, *(pytest.param(moment, marks=pytest.mark.slow) for moment in (0.0, 0.1, 0.2))]
)
def test_killed_while_unpacking(fetcher: Fetcher, server: FileServer, moment: float):
    """A folder is not there, or it is there as a whole."""
    photos = {f"photos/{number:05d}.jpg": b"%d" % number for number in range(1500)}
    fetcher.write(mine=archive_source(server, photos, yields={"raw/mine/photos": 1500}))
    partial = fetcher.output / "raw/mine/.photos.zip.partial"
    with running(fetcher.command("mine"), env=environment(), stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: partial.exists() or process.poll() is not None)
        time.sleep(moment)
        process.kill()
        process.wait()
    folder = fetcher.output / "raw/mine/photos"
    assert not folder.exists() or len(list(folder.iterdir())) == 1500
    fetcher.run("mine")
    assert len(fetcher.files()) == 1501
    assert server.count("/photos.zip") == 1


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("size", [100_000, 4 * SMALLEST_BLOCK], ids=["small files", "large file"])
def test_interrupted_fetch_ends_at_once_and_goes_on(
    fetcher: Fetcher, server: FileServer, random_bytes: MakeBytes, size: int
):
    content = random_bytes(size)
    urls = [server.put(f"/{n}.bin", content, *[Mood(drop_after=70_000, pause=0.1)] * 20) for n in range(2)]
    files = [{"path": f"raw/mine/{n}.bin", "urls": [url], "bytes": size} for n, url in enumerate(urls)]
    fetcher.write(mine={"files": files})
    patient = environment(VCLR_FETCH_WAIT="30")
    with running(fetcher.command("mine"), env=patient, stderr=subprocess.PIPE) as process:
        wait_for(lambda: server.sent("/0.bin") > 60_000)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    assert process.returncode == 130 and "Traceback" not in said
    before = server.sent("/0.bin")
    server.put("/0.bin", content)
    server.put("/1.bin", content)
    fetcher.run("mine")
    assert (fetcher.output / "raw/mine/0.bin").read_bytes() == content
    assert server.sent("/0.bin") - before < size
