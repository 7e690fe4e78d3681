"""Altered checkpoints, given to all that reads them: one line each, or nothing that was altered is used."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.altered import DEFAULTS, HARMLESS, alter_content, damaged_files, replaced, without
from tests.engine.same import assert_same, checkpoint
from vclr.config import Config
from vclr.engine.convert import convert
from vclr.engine.run_folder import RunFolder
from vclr.engine.state import TrainState
from vclr.engine.train import train
from vclr.errors import UserError
from vclr.models.build import build_model
from vclr.models.checkpoint import check_fit, check_form
from vclr.models.weights import config_of, load_weights, read_weights

MakeConfig = Callable[..., Config]
Content = dict[str, Any]


SMALLEST = (
    "model.embed_dim=16",
    "model.norm_groups=4",
    "model.mask_hidden_dim=8",
    "model.backbone.stem_out_channels=8",
    "model.backbone.res2_out_channels=8",
    *(f"model.transformer.{part}.{key}" for part in ("encoder", "decoder") for key in ("num_layers=1", "num_heads=2")),
    *(f"model.transformer.{part}.feedforward_dim=16" for part in ("encoder", "decoder")),
)


@pytest.fixture(scope="module")
def make_config(make_config: MakeConfig) -> MakeConfig:
    """Return settings of the smallest detector: what is checked here does not depend on its size."""
    return lambda *overrides: make_config(*SMALLEST, *overrides)


@pytest.fixture(scope="module")
def run_folder(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of five steps, with checkpoints of step three and five, the last in the middle of an average."""
    folder = tmp_path_factory.mktemp("altered") / "seed0"
    train(make_config(f"train.output_dir={folder}", "train.max_iter=5", "train.log_period=2"), quiet=True)
    return folder


@pytest.fixture
def small(run_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(run_folder, tmp_path / "seed0")
    (tmp_path / "seed0" / "DONE").unlink()
    return tmp_path / "seed0"


def read_all_ways(path: Path, folder: Path, config: Config) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what reads a checkpoint: as prediction and evaluation do, conversion, first weights, a resume."""

    def load() -> None:
        content = read_weights(path)
        load_weights(build_model(config_of(content, path)), content, strict=True, name=str(path))

    def initialize() -> None:
        TrainState(config, torch.device("cpu")).initialize(str(path))

    def resume() -> None:
        with RunFolder(config) as opened:
            loaded = opened.open(resume=True)
        assert loaded is not None
        state = TrainState(config, torch.device("cpu"))
        state.load_state_dict(loaded)
        # The step that crashed: the fused kernel over all moments.
        for parameter in state.student.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        state.optimizer.step()
        state.scheduler.step()

    yield "load", load
    yield "initialize", initialize
    yield "convert", lambda: convert(path, folder / "converted.pth", to="reference")
    yield "resume", resume


def outcome(read: Callable[[], object], what: str) -> str | None:
    """Return the one line with which a reader refuses, None where it takes what it was given."""
    try:
        read()
    except UserError as error:
        said = str(error)
    except Exception as error:
        pytest.fail(f"{what}: {type(error).__name__}: {error}")
    else:
        return None
    assert "\n" not in said, what
    assert "weights_only" not in said, what
    return said


def is_harmless(what: str, content: Content, altered: Content) -> bool:
    """Tell alterations after which a checkpoint is as good as before: of what nobody needs, or no change at all."""
    is_default = any(key in what for key in DEFAULTS) and (what.startswith("without") or what.endswith("renamed"))
    if is_default or any(word in what for word in HARMLESS):
        return True
    try:
        assert_same(content, altered, "")
    except AssertionError:
        return False
    return True


def check_contents(small: Path, config: Config, seed: int, number: int, share_read: float, folder: Path) -> None:
    last = small / "checkpoints" / "last.pt"
    content = checkpoint(small)
    (small / "checkpoints" / "step00000003.pt").unlink()
    model, chooser = build_model(config), random.Random(seed)
    for what, altered in alter_content(content, chooser, number):
        with suppress(UserError):
            check_form(altered, "a.pt")
            check_fit(altered, model, "a.pt")
            assert is_harmless(what, content, altered), f"{what}: was taken"
        if chooser.random() < share_read:
            torch.save(altered, last)
            for reader, read in read_all_ways(last, folder, config):
                said = outcome(read, f"{what}, {reader}")
                assert said is None or str(last) in said or reader == "resume", f"{what}, {reader}: {said}"


def test_checkpoint_as_it_was_written_is_whole(small: Path, make_config: MakeConfig, tmp_path: Path):
    config = make_config(f"train.output_dir={small}", "train.log_period=2", "train.max_iter=6")
    for reader, read in read_all_ways(small / "checkpoints" / "last.pt", tmp_path, config):
        assert outcome(read, reader) is None


def test_altered_contents_are_one_line(small: Path, make_config: MakeConfig, tmp_path: Path):
    check_contents(small, make_config(f"train.output_dir={small}", "train.log_period=2"), 0, 50, 0.04, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_altered_contents_are_one_line_in_hundreds_of_ways(
    small: Path, make_config: MakeConfig, tmp_path: Path, seed: int
):
    check_contents(small, make_config(f"train.output_dir={small}", "train.log_period=2"), seed, 120, 0.5, tmp_path)


@pytest.mark.parametrize("number", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_files_that_are_no_checkpoint_are_one_line(small: Path, make_config: MakeConfig, tmp_path: Path, number: int):
    last, config, content = small / "checkpoints" / "last.pt", make_config(), checkpoint(small)
    for path in (tmp_path / "damaged", tmp_path / "into"):
        path.mkdir()
    for what, path in damaged_files(last, tmp_path / "damaged", random.Random(number), number):
        for reader, read in list(read_all_ways(path, tmp_path / "into", config))[: 3 if number > 2 else 1]:
            said = outcome(read, f"{what}, {reader}")
            assert said is not None or what == "flipped bits", f"{what}, {reader}"
            if said is None:  # the bits were between the parts, where nothing is read
                assert_same(content, read_weights(path), "")
        assert not (tmp_path / "damaged" / "executed").exists()
        if what == "flipped bits":
            (tmp_path / "into" / "converted.pth").unlink(missing_ok=True)
        assert not list((tmp_path / "into").iterdir())


ALTERATIONS: dict[str, tuple[Callable[[Content], Content], str]] = {
    "moments of another shape": (
        lambda content: replaced(content, ("optimizer", "state", 7, "exp_avg"), torch.zeros(3)),
        "optimizer: parameter 7: exp_avg and exp_avg_sq differ in shape or type",
    ),
    "both moments of another shape": (
        lambda content: replaced(
            content,
            ("optimizer", "state", 7),
            {**content["optimizer"]["state"][7], "exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)},
        ),
        r"optimizer: exp_avg of parameter 7 is \(3,\) float32, not ",
    ),
    "moments of one parameter dropped": (
        lambda content: without(content, ("optimizer", "state", 5)),
        "optimizer: has no moments of parameter 5",
    ),
    "a step of later": (
        lambda content: replaced(content, ("optimizer", "state", 0, "step"), torch.tensor(9.0)),
        "optimizer: parameter 0: step is not a number from 1 to 5",
    ),
    "the other way": (
        lambda content: replaced(content, ("optimizer", "param_groups", 0, "maximize"), True),
        "optimizer: group 0: maximize is not that of its settings",
    ),
    "a tensor for yes or no": (
        lambda content: replaced(content, ("optimizer", "param_groups", 0, "fused"), torch.zeros(2)),
        "optimizer: group 0: fused is not that of its settings",
    ),
    "another rate": (
        lambda content: replaced(content, ("optimizer", "param_groups", 1, "lr"), 0.5),
        "optimizer: group 1: lr is not that of its settings",
    ),
    "iteration": (
        lambda content: {**content, "iteration": 4},
        "loader: next_batch is 5, the rest of the checkpoint says 4",
    ),
    "negative iteration": (lambda content: {**content, "iteration": -5}, "iteration: is -5, not a number from 0"),
    "text for a number": (lambda content: {**content, "iteration": "5"}, "iteration: is '5', not a number from 0"),
    "no loader": (lambda content: without(content, ("loader",)), "is not a complete checkpoint: it has no `loader`"),
    "no configuration": (
        lambda content: without(content, ("config",)),
        "is not a complete checkpoint: it has no `config`",
    ),
    "no teacher": (lambda content: {**content, "teacher": None}, "teacher: is missing"),
    "schedule": (
        lambda content: replaced(content, ("scheduler", "get_lr"), 1),
        "scheduler: is not a dictionary of a schedule",
    ),
    "a tensor of lambdas": (
        lambda content: replaced(content, ("scheduler", "lr_lambdas"), torch.zeros(2)),
        "scheduler: lr_lambdas are not those of its groups",
    ),
    "a weight that is not finite": (
        lambda content: replaced(
            content,
            ("teacher", "decoder.norm.bias"),
            torch.full_like(content["teacher"]["decoder.norm.bias"], torch.nan),
        ),
        r"teacher: decoder\.norm\.bias holds numbers that are not finite",
    ),
    "a teacher of another shape": (
        lambda content: replaced(content, ("teacher", "decoder.norm.bias"), torch.zeros(3)),
        r"teacher: decoder\.norm\.bias is \(3,\) float32, not \(16,\) float32",
    ),
    "settings": (
        lambda content: {**content, "config": content["config"].replace("num_queries: 20", "num_queries: 2000000000")},
        r"its settings do not fit its weights: query_content\.weight is \(20, 16\), not \(2000000000, 16\)",
    ),
    "settings of nothing": (lambda content: {**content, "config": "[1"}, "config: not valid YAML: "),
    "averages of other steps": (
        lambda content: replaced(content, ("journal", "count"), 2),
        "journal: counts 2 iterations since the last record, .*metrics.jsonl has 1",
    ),
}


def test_each_alteration_says_what_is_wrong(small: Path, make_config: MakeConfig):
    content, model = checkpoint(small), build_model(make_config())

    def check(altered: Content) -> None:
        check_form(altered, "a.pt")
        check_fit(altered, model, "a.pt")

    for alteration, (alter, says) in ALTERATIONS.items():
        altered = alter(content)
        if alteration != "averages of other steps":  # of which the file itself does not know
            with pytest.raises(UserError, match=f"^a.pt: {says}"):
                check(altered)


@pytest.mark.parametrize("alteration", ["both moments of another shape", "no loader", "averages of other steps"])
def test_resume_falls_back_with_one_warning(
    small: Path, make_config: MakeConfig, caplog: pytest.LogCaptureFixture, alteration: str
):
    alter, says = ALTERATIONS[alteration]
    last = small / "checkpoints" / "last.pt"
    content = checkpoint(small)
    if alteration == "averages of other steps":  # the last record is of step four: the training was to be longer
        content["journal"] = {"sums": {"loss": 1.0}, "count": 1, "seconds": 0.1}
        lines = (small / "metrics.jsonl").read_text().splitlines(keepends=True)
        (small / "metrics.jsonl").write_text("".join(lines[:2]))
    torch.save(alter(content), last)
    config = make_config(f"train.output_dir={small}", "train.log_period=2", "train.max_iter=6")
    with RunFolder(config) as folder:
        loaded = folder.open(resume=True)
    assert loaded is not None and loaded["iteration"] == 3
    (warning,) = caplog.messages
    assert warning.startswith(f"{last}: ")
    assert warning.endswith(f"; continuing from {last.with_name('step00000003.pt')}")
    with pytest.raises(UserError, match=says):
        raise UserError(warning)
    last.with_name("step00000003.pt").unlink()
    with RunFolder(config) as folder, pytest.raises(UserError, match=f"^{last}: {says}.*no other is intact"):
        folder.open(resume=True)
