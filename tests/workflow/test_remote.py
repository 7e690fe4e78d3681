"""What one person pushes, another pulls and trains on: to a folder, and to an S3 server."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.servers.bucket import BUCKET, running_bucket
from vclr.config import load_config
from vclr.engine.train import hash_training_data
from vclr.files import read_json
from vclr.generate.pack import pack_folder

SMALL = (
    *("model.num_queries=10", "model.criterion.num_points=16", "dataloader.train.mapper.short_edge_length=[40]"),
    *("dataloader.train.total_batch_size=1", "dataloader.train.num_workers=1", "train.max_iter=1", "train.device=cpu"),
)
PACKED = ("raw/toy/images", "views/toy/depth", "views/toy/style")

Remote = tuple[list[list[str]], Callable[[], int]]  # commands that name it to DVC; how many objects it holds


@pytest.fixture
def folder_remote(tmp_path: Path) -> Remote:
    remote = tmp_path / "remote"
    return [["add", "--default", "storage", str(remote)]], lambda: len([p for p in remote.rglob("*") if p.is_file()])


@pytest.fixture
def s3_remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A bucket on a server of its own, whose credentials are in the environment as a person has them."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with running_bucket() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        yield (
            [
                ["add", "--default", "storage", f"s3://{BUCKET}/vclr"],
                ["modify", "storage", "endpointurl", bucket.endpoint],
            ],
            lambda: len(bucket.keys()),
        )


def publish(checkout: Any, world: Path, remote: Remote) -> None:
    """Put a small toy world into a checkout, its views packed, and a result; record, push and commit both."""
    shutil.copytree(world, checkout.folder / "data")
    for folder in PACKED:
        pack_folder(checkout.folder / "data" / folder, remove=True, quiet=True)
    checkout.run("git", "init", "--quiet")
    for command in remote[0]:
        checkout.run("dvc", "remote", *command)
    for name in ("summary", "curves", "recall_by_size"):
        checkout.write(f"results/demo/{name}.json", "{}")
    checkout.run("dvc", "add", "--quiet", "data")
    checkout.run("dvc", "commit", "--force", "--quiet")
    checkout.run("dvc", "push", "--quiet")
    checkout.run("git", "add", "--all")
    checkout.run("git", "commit", "--quiet", "--message", "data")


def clone(checkout: Any, name: str) -> Any:
    """Return what somebody else has: what is in git, and then what DVC pulls."""
    folder = checkout.folder.with_name(name)
    checkout.run("git", "clone", "--quiet", ".", str(folder))
    assert not (folder / "data").exists()
    pulled = type(checkout)(folder)
    pulled.run("dvc", "pull", "--quiet")
    return pulled


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def data_hashes(checkout: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(checkout.folder)
    return hash_training_data(load_config("configs/experiment/demo.yaml", ()))


def train(checkout: Any, *overrides: str) -> str:
    experiment = ("--config-file", "configs/experiment/demo.yaml", "--quiet")
    return checkout.run("vclr", "train", *experiment, *SMALL, "train.output_dir=run", *overrides)


@pytest.mark.parametrize("kind", ["folder_remote", pytest.param("s3_remote", marks=pytest.mark.slow)])
def test_pulled_data_is_what_was_pushed(kind, request, checkout, world):
    remote = request.getfixturevalue(kind)
    publish(checkout, world, remote)
    pushed = contents(checkout.folder / "data")
    assert {f"{folder}.zip" for folder in PACKED} <= pushed.keys()
    # Each file once, each packed folder being one; the list of them; the result.
    assert remote[1]() == len(set(pushed.values())) + 2
    pulled = clone(checkout, "clone")
    assert contents(pulled.folder / "data") == pushed
    assert "up to date" in pulled.run("dvc", "status")
    assert "in sync" in pulled.run("dvc", "status", "--cloud")


def test_pulled_files_take_no_space_twice(checkout, world, folder_remote):
    publish(checkout, world, folder_remote)
    pulled = clone(checkout, "clone")
    cached = {path.stat().st_ino for path in (pulled.folder / ".dvc/cache").rglob("*") if path.is_file()}
    files = [path for path in (pulled.folder / "data").rglob("*") if path.is_file() and path.stat().st_size]
    assert all(path.stat().st_ino in cached for path in files)
    assert len(files) >= len(PACKED)


@pytest.mark.slow
def test_pulled_data_is_there_for_the_workflow(checkout, world, folder_remote):
    publish(checkout, world, folder_remote)
    pulled = clone(checkout, "clone")
    assert "fetch_toy" not in pulled.plan("demo")
    shutil.rmtree(pulled.folder / "results")
    pulled.run("snakemake", "demo", "--touch", "--cores", "1")
    plan = pulled.plan("demo")
    assert plan.pop("train") == 3
    assert not {"fetch_toy", "split", "views"} & plan.keys()


@pytest.mark.slow
def test_training_of_pulled_data_says_what_it_read(checkout, world, s3_remote, monkeypatch):
    publish(checkout, world, s3_remote)
    pulled = clone(checkout, "clone")
    train(pulled)
    assert (pulled.folder / "run/DONE").read_text() == "1\n"
    hashes = read_json(pulled.folder / "run/data.json")
    assert hashes.keys() == {"annotations", "images", "view_depth", "view_style"}
    assert hashes == data_hashes(checkout, monkeypatch)
    with closing(sqlite3.connect(pulled.folder / "mlflow.db")) as database:
        tags = dict(database.execute("SELECT key, value FROM tags WHERE key LIKE 'data.%'"))
    assert tags == {f"data.{name}": digest for name, digest in hashes.items()}


@pytest.mark.slow
def test_packed_and_unpacked_data_are_one_to_a_training(checkout, world, monkeypatch):
    """Photos and views have manifests, which stand for them."""
    shutil.copytree(world, checkout.folder / "data")
    before = data_hashes(checkout, monkeypatch)
    train(checkout, "tracking.enabled=False")
    for folder in PACKED:
        pack_folder(checkout.folder / "data" / folder, remove=True, quiet=True)
    assert data_hashes(checkout, monkeypatch) == before
    longer = ("--resume", "train.max_iter=2", "tracking.enabled=False")
    train(checkout, *longer)
    lines = (checkout.folder / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines if json.loads(line)["kind"] == "train"][-1] == 2
    assert not list(checkout.folder.glob("run.*"))  # nothing was moved aside
