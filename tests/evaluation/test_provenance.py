"""metrics.json says of which checkpoint, test set, protocol and settings it is."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import Result

from vclr.catalog.classes import TOY_KNOWN_CLASSES, TOY_NOVEL_CLASSES
from vclr.cli.options import app
from vclr.coco.record import record_path
from vclr.config import Config, load_config
from vclr.data.data_sets import test_set as find_test_set
from vclr.engine.shared_evaluation import evaluate
from vclr.errors import UsageError, UserError
from vclr.evaluation.evaluate import evaluate_file, evaluate_parts, evaluate_shard
from vclr.evaluation.provenance import check_shard_folder, describe, describe_checkpoint, settings_hash
from vclr.files import read_json, sha256, write_json
from vclr.generate.toy import write_toy_world
from vclr.models.build import build_model
from vclr.shards import Shard
from vclr.splits.record import save_split
from vclr.splits.split import make_split

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_toy_world(root, num_train=1, num_val=3, size=64, quiet=True)
    return root / "raw" / "toy"


def settings_of(world: Path) -> list[str]:
    return [
        f"data.test={{annotations: {world}/annotations_val.json, images: {world}/images, proposals: ''}}",
        *("dataloader.test.mapper.short_edge_length=64", "model.num_queries=10", "dataloader.test.num_workers=0"),
    ]


def make_config(world: Path, *overrides: str) -> Config:
    return load_config(ROOT / "configs/experiment/demo.yaml", [*settings_of(world), *overrides])


def test_untrained_model_has_no_checkpoint(world: Path, tmp_path: Path):
    config = make_config(world)
    evaluate(build_model(config), config, tmp_path, quiet=True)
    annotations = world / "annotations_val.json"
    assert read_json(tmp_path / "metrics.json")["provenance"] == {
        "checkpoint": None,
        "weights": None,
        "test_set": {
            "annotations": str(annotations),
            "sha256": hashlib.sha256(annotations.read_bytes()).hexdigest(),
            "images": f"{world}/images",
        },
        "protocol": "novel",
        "groups": {"known": list(TOY_KNOWN_CLASSES), "novel": list(TOY_NOVEL_CLASSES)},
        "config": settings_hash(config),
    }


def test_checkpoint_is_named_with_its_bytes(tmp_path: Path):
    (tmp_path / "last.pt").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    for content, iteration in (({"iteration": 9}, 9), ({"model": {}}, None), ({"iteration": "x"}, None)):
        described = describe_checkpoint(tmp_path / "last.pt", content)
        assert described == {"path": f"{tmp_path}/last.pt", "sha256": digest, "iteration": iteration}


def test_weights_are_recorded_through_cli_and_shards(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from typer.testing import CliRunner

    import vclr.cli  # noqa: F401  the verbs

    monkeypatch.chdir(tmp_path)
    student, teacher = (build_model(make_config(world, f"train.seed={seed}")).state_dict() for seed in (1, 2))
    torch.save({"model": student, "ema_state": teacher}, "both.pth")
    torch.save({"model": student}, "student.pth")
    start = ["--config-file", str(ROOT / "configs/experiment/demo.yaml"), "--quiet", *settings_of(world)]
    key, found = "train.model_ema.use_ema_weights_for_eval_only", {}

    def call(*words: str) -> Result:
        return CliRunner().invoke(app, [words[0], *start, *words[1:]])

    for name, words in {
        "default": [],
        "key": [f"{key}=True"],
        "option": ["--weights", "teacher"],
        "over": ["--weights", "student", f"{key}=True"],
    }.items():
        done = call("evaluate", "--checkpoint", "both.pth", "--output", name, *words)
        assert done.exit_code == 0, done.output
        found[name] = read_json(f"{name}/metrics.json")["provenance"]
    assert [found[name]["weights"] for name in found] == ["student", "teacher", "teacher", "student"]
    assert found["key"] == found["option"]
    assert found["default"] == found["over"]
    done = call(
        "train", "--eval-only", "train.init_checkpoint=both.pth", "train.output_dir=only", "--weights", "teacher"
    )
    assert done.exit_code == 0, done.output
    assert read_json("only/metrics.json") == read_json("key/metrics.json")
    for number in "12":
        words = ("--checkpoint", "both.pth", "--shard", f"{number}/2", "--output", number, "--weights", "teacher")
        assert call("evaluate", *words).exit_code == 0
    parts = [word for number in "12" for word in ("--predictions", f"{number}/predictions.json")]
    assert call("evaluate", *parts, "--output", "joined", "--weights", "teacher").exit_code == 0
    assert read_json("joined/metrics.json") == read_json("key/metrics.json")
    for words, message in (
        (
            ("evaluate", "--checkpoint", "student.pth", "--weights", "teacher"),
            "student.pth: has no weights of the teacher",
        ),
        (("evaluate", "--predictions", "1/predictions.json", "--weights", "teacher"), "needs --checkpoint"),
        (("evaluate", "--weights", "teacher"), "needs --checkpoint"),
    ):
        assert message in str(call(*words, "--output", "refused").exception)
    assert "needs --eval-only" in str(call("train", "--weights", "teacher").exception)


def test_hash_is_of_what_the_result_depends_on(world: Path):
    same = (
        *("train.output_dir=elsewhere", "train.max_iter=3", "tracking.enabled=False", "optimizer.lr=0.5"),
        *("data.train.annotations=other.json", "evaluation.protocols=[novel,uvo]", "dataloader.test.num_workers=3"),
        *("evaluation.test_sets.mine={annotations: a, images: b}", "evaluation.boundary=False"),
    )
    others = (
        *("data.test.images=other", "evaluation.max_dets=[1,10]", "evaluation.protocol=known", "model.nms_thresh=0.5"),
        *("dataloader.test.mapper.short_edge_length=32", "train.seed=7", "evaluation.protocol=uvo"),
        *("dataloader.train.mapper.mask_on=False", "evaluation.boundary=True"),
    )
    own = settings_hash(make_config(world))
    assert {settings_hash(make_config(world, setting)) for setting in same} == {own}
    hashes = [settings_hash(make_config(world, setting)) for setting in others]
    assert len({own, *hashes}) == 1 + len(others)


def test_shards_pass_their_checkpoint_on_and_must_be_of_one(world: Path, tmp_path: Path):
    config = make_config(world)
    model = build_model(config)
    checkpoints = [{"path": f"{name}.pt", "sha256": name * 32, "iteration": 9} for name in ("aa", "bb")]

    def find(number: int, checkpoint: dict[str, object], *overrides: str) -> Path:
        folder = tmp_path / f"{number} {checkpoint['path']} {len(overrides)}"
        return evaluate_shard(model, make_config(world, *overrides), folder, Shard(number, 2), True, checkpoint)

    first, second = find(1, checkpoints[0]), find(2, checkpoints[0])
    assert evaluate_parts([first, second], config, tmp_path / "out")["provenance"]["checkpoint"] == checkpoints[0]
    for stranger, message in (
        (find(2, checkpoints[1]), "has another checkpoint than"),
        (
            find(2, checkpoints[0], "evaluation.protocol=known"),
            r"was made with another protocol than this evaluation has \(.*/provenance\.json says which\)",
        ),
    ):
        with pytest.raises(UserError, match=message):
            evaluate_parts([first, stranger], config, tmp_path / "other")
    write_json(second.parent / "provenance.json", [1])
    with pytest.raises(UserError, match="was not written by `vclr evaluate --shard`; evaluate it again"):
        evaluate_parts([first, second], config, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    (second.parent / "provenance.json").unlink()
    found = evaluate_parts([second, first], config, tmp_path / "out")["provenance"]
    assert found["checkpoint"] is None
    assert found["predictions"] == [{"path": str(path), "sha256": sha256(path)} for path in (second, first)]


def test_missing_and_repeated_shards_are_refused(world: Path, tmp_path: Path):
    config = make_config(world)
    model, shards = build_model(config), [Shard(number, 2) for number in (1, 2)]
    first, second = (evaluate_shard(model, config, tmp_path / str(shard.number), shard, True) for shard in shards)
    for run, message in (
        (lambda: evaluate_file(second, config, tmp_path / "out"), "is shard 2/2; shard 1 is missing"),
        (lambda: evaluate_parts([first, first], config, tmp_path / "out"), "is shard 1/2, and so is"),
    ):
        with pytest.raises(UserError, match=message):
            run()
    assert not (tmp_path / "out").exists()
    evaluate_parts([second, first], config, tmp_path / "out")
    joined = read_json(tmp_path / "out" / "predictions.json")
    assert joined == [*read_json(first), *read_json(second)]
    check_shard_folder(first.parent, shards[0])
    for folder, message in (
        (first.parent, "1: holds predictions of shard 1/2; choose another folder for 2/2"),
        (tmp_path / "out", "out: holds an evaluation of all shards; choose another folder for 2/2"),
    ):
        with pytest.raises(UsageError, match=message):
            check_shard_folder(folder, shards[1])


def test_a_file_that_was_evaluated_before_keeps_its_checkpoint(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    config, checkpoint = make_config(world), {"path": "aa.pt", "sha256": "aa", "iteration": 9}
    evaluate(build_model(config), config, tmp_path, quiet=True, checkpoint=checkpoint)
    path, metrics = tmp_path / "predictions.json", tmp_path / "metrics.json"
    before = metrics.read_bytes(), path.read_bytes()
    evaluate_file(path, config, tmp_path)
    assert (metrics.read_bytes(), path.read_bytes()) == before
    named = [{"path": str(path), "sha256": sha256(path)}]
    found = evaluate_file(path, make_config(world, "evaluation.protocol=known"), tmp_path / "known")["provenance"]
    assert (found["checkpoint"], found["weights"], found["predictions"]) == (checkpoint, "student", named)
    assert "is newer than" not in caplog.text
    os.utime(path, ns=(0, metrics.stat().st_mtime_ns + 1))
    found = evaluate_file(path, config, tmp_path)["provenance"]
    assert (found["checkpoint"], found["predictions"]) == (None, named), "the metrics were of other predictions"
    assert f"{path}: is newer than {metrics}, so the checkpoint is not taken from there" in caplog.messages


def publish(world: Path, root: Path) -> Config:
    """Place the toy test set as UVO's published json and frames, and return the settings that evaluate it."""
    coco = read_json(world / "annotations_val.json")
    write_json(root / "raw/uvo/uvo_nonvoc_val_rle.json", coco)
    shutil.copytree(world / "images", root / "raw/uvo/uvo_videos_dense_frames")
    return make_config(world, f"data.root={root}", "evaluation.protocol=uvo")


def test_origin_of_published_and_rebuilt_files(world: Path, tmp_path: Path):
    """The record of the split says what was evaluated, whatever the name of the split's file."""
    config = publish(world, tmp_path)
    published = tmp_path / "raw/uvo/uvo_nonvoc_val_rle.json"
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    split = Path(annotations_of(config))
    save_split(make_split("one_class", published), split)
    metrics = evaluate(build_model(config), config, tmp_path / "out", quiet=True)
    test_set = metrics["provenance"]["test_set"]
    assert test_set["annotations"] == str(split)
    assert test_set["sha256"] == hashlib.sha256(split.read_bytes()).hexdigest() != digest
    assert test_set["origin"] == {"files": "published", "json": published.name, "sha256": digest}

    again = make_config(world, f"data.root={tmp_path}", "evaluation.protocol=uvo", "evaluation.files=rebuilt")
    rebuilt = Path(annotations_of(again))
    assert rebuilt != split
    official = tmp_path / "raw/uvo/uvo_val_dense.json"
    shutil.copy(published, official)
    save_split(make_split("one_class", official), rebuilt)
    found = describe(again, None)["test_set"]["origin"]
    assert found == {"files": "rebuilt", "json": official.name, "sha256": digest}
    save_split(make_split("one_class", published), rebuilt)  # as an earlier version made this file
    assert describe(again, None)["test_set"]["origin"]["files"] == "published"
    record = read_json(record_path(rebuilt))
    write_json(record_path(rebuilt), {key: value for key, value in record.items() if key != "output"})
    with pytest.raises(UserError, match=r"record\.json: is not a record .*`output`.*make the split again"):
        describe(again, None)
    write_json(record_path(rebuilt), record)
    rebuilt.write_bytes(rebuilt.read_bytes() + b" ")  # the record is of other annotations
    assert describe(again, None)["test_set"]["origin"] == {"files": "rebuilt", "json": "", "sha256": ""}


def annotations_of(config: Config) -> str:
    return find_test_set(config).annotations


def test_hash_of_settings_follows_the_files_that_are_read(world: Path):
    def hash_of(*overrides: str) -> str:
        return settings_hash(make_config(world, *overrides))

    rebuilt = "evaluation.files=rebuilt"
    assert hash_of() == hash_of(rebuilt)  # own files
    assert hash_of("evaluation.protocol=nonvoc") == hash_of("evaluation.protocol=nonvoc", rebuilt)
    assert hash_of("evaluation.protocol=lvis") != hash_of("evaluation.protocol=lvis", rebuilt)


def test_one_model_on_two_test_sets(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from typer.testing import CliRunner

    import vclr.cli  # noqa: F401  the verbs

    monkeypatch.chdir(tmp_path)
    own = f"evaluation.test_sets.mine={{annotations: {world}/annotations_train.json, images: {world}/images}}"
    for protocol in ("novel", "mine"):
        command = ["evaluate", "--config-file", str(ROOT / "configs/experiment/demo.yaml"), "--protocol", protocol]
        done = CliRunner().invoke(app, [*command, "--output", protocol, "--quiet", *settings_of(world), own])
        assert done.exit_code == 0, done.output
    found = {name: read_json(tmp_path / name / "metrics.json") for name in ("novel", "mine")}
    assert {name: metrics["num_images"] for name, metrics in found.items()} == {"novel": 3, "mine": 1}
    assert {name: metrics["provenance"]["protocol"] for name, metrics in found.items()} == {
        "novel": "novel",
        "mine": "mine",
    }
    assert found["mine"]["provenance"]["test_set"]["annotations"] == f"{world}/annotations_train.json"
