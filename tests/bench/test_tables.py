"""The tables of `make bench`: cases by turns in processes of their own, ratios to the first, too little memory."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from benchmarks import __main__ as benchmarks
from benchmarks import cases, cuda
from benchmarks.cases import Comparison, compare, make_tables, measure_cases, run_bench
from benchmarks.table import Row, Table
from vclr.bench import run
from vclr.bench.settings import choose_settings
from vclr.cli import app
from vclr.files import read_json

COMPARISONS = [
    comparison
    for name in ("step", "inference", "attention", "growth", "cuda")
    for comparison in importlib.import_module(f"benchmarks.{name}").COMPARISONS
]
SMALL = ["attention", "--size", "64x96", "--no-calibration", "--device", "cpu"]


def figures_of(*seconds: float, peak: float = 2.0, conv: float = 100.0) -> dict[str, Any]:
    about = {"machine": "m", "threads": 2, "torch": "2", "vclr": "1", "revision": None}
    calibration = {"conv_gflops": conv, "matmul_gflops": 50.0}
    return {"seconds": list(seconds), "peak_gib": peak, "calibration": calibration, **about}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.title)
def test_every_case_is_one_that_the_command_takes(comparison: Comparison, monkeypatch: pytest.MonkeyPatch, caplog: Any):
    """Options exist, values are allowed, none is ignored; and no case says the same as another."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked_for = []
    monkeypatch.setattr(
        run, "run_benchmark", lambda name, given: asked_for.append((name, choose_settings(name, given)))
    )
    for own in comparison.cases.values():
        result = CliRunner().invoke(app, ["bench", *comparison.shared, *own, "--runs=1", "--threads=0", "--json"])
        assert result.exit_code == 0, result.output
    assert len(set(asked_for)) == len(asked_for) == len(comparison.cases)
    assert caplog.messages == []


def test_processes_take_turns(monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr(cases, "run_bench", lambda arguments, _: calls.append(arguments) or figures_of(1.0))
    comparison = Comparison("t", ["step"], {"a": [], "b": ["--checkpoint"]})
    figures: dict[str, list[Any]] = {"a": [], "b": []}
    for _ in measure_cases(comparison, figures, rounds=2, runs=3, threads=1):
        pass
    a = ["step", "--runs=3", "--threads=1"]
    assert calls == [a, ["step", "--checkpoint", *a[1:]]] * 2
    assert {name: len(measured) for name, measured in figures.items()} == {"a": 2, "b": 2}


def test_table_compares_with_the_first():
    figures = {
        "first": [figures_of(1.0, 1.2, peak=4.0), figures_of(1.4, peak=3.0)],
        "other": [figures_of(0.1, peak=1.0, conv=110.0), figures_of(0.3, 0.3, peak=0.5, conv=130.0)],
        "large": [{"failed": "out of memory"}],
    }
    (table,) = make_tables(Comparison("t", ["step"], dict.fromkeys(figures, [])), figures)
    lines = str(table).splitlines()
    assert lines[0] == "**t**"
    first, other, large = map(cells, lines[4:7])
    assert first == ["first", "1.20 s", "1.00 s to 1.40 s", "x 1.00", "4.00 GiB", "x 1.00", "100, 50", "3", ""]
    assert other == ["other", "300.0 ms", "100.0 ms to 300.0 ms", "x 0.25", "1.00 GiB", "x 0.25", "120, 50", "3", ""]
    assert large == ["large", *[""] * 7, "out of memory"]
    assert lines[-1] == "m; threads: 2; torch 2; vclr 1"


def test_columns_that_say_nothing_are_left_out():
    lines = str(Table("t", [Row("a", [1.0]), Row("b", [2.0])], "m")).splitlines()
    assert cells(lines[2]) == ["", "median", "fastest to slowest", "time", "runs"]
    assert len({len(line) for line in lines[2:6]}) == 1


def test_first_that_failed_gives_no_ratios():
    (table,) = make_tables(
        Comparison("t", [], {"a": [], "b": []}), {"a": [{"failed": "out of memory"}], "b": [figures_of(1.0)]}
    )
    assert " x " not in str(table)


@pytest.mark.parametrize(
    ("returncode", "stderr"), [(1, "vclr: out of memory: tried to allocate 80 GiB"), (-9, ""), (137, "")]
)
def test_too_little_memory_is_a_result(returncode: int, stderr: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], returncode, "", stderr))
    assert run_bench(["step"]) == {"failed": "out of memory"}


def test_any_other_failure_is_said_in_few_words():
    assert run_bench(["attention", "--size", "1x1"]) == {"failed": "--size 1x1: each side must be from 32 to 16384"}


def test_a_traceback_is_its_last_line(monkeypatch: pytest.MonkeyPatch):
    stderr = f"Traceback (most recent call last):\n  File\nRuntimeError: {'words ' * 100}\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", stderr))
    reason = run_bench(["step"])["failed"]
    assert reason.startswith("RuntimeError: words")
    assert len(reason) <= 100


def test_a_process_that_hangs_is_given_up():
    assert run_bench(SMALL, longest=0.01) == {"failed": "took more than 0 s"}


def test_a_failure_loses_nothing_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Not even a file: each is there as soon as its process has ended."""
    output, written = tmp_path / "table.md", []

    def run(arguments: list[str], _: float) -> dict[str, Any]:
        written.append(output.read_text(encoding="utf-8") if output.exists() else "")
        return {"failed": "RuntimeError: no"} if "--checkpoint" in arguments else figures_of(1.0)

    monkeypatch.setattr(cases, "run_bench", run)
    first = Comparison("first", ["step"], {"a": ["--checkpoint"], "b": []}, rounds=2, also={"more": "seconds"})
    second = Comparison("second", ["step"], {"c": []}, rounds=1)
    with pytest.raises(SystemExit, match="^1 case failed: a$"):
        compare([first, second], "", ["--output", str(output)])
    assert len(written) == 4, "a case that failed is not tried again"
    assert "RuntimeError: no" in written[1] and "| b " not in written[1]
    assert "| b " in written[2] and "**second**" not in written[2]
    assert "| c " in output.read_text(encoding="utf-8")
    assert output.read_text(encoding="utf-8").strip() == capsys.readouterr().out.strip()
    figures = read_json(tmp_path / "table.json")
    assert figures["first"]["a"] == [{"failed": "RuntimeError: no"}]
    assert [len(figures[title][name]) for title, name in (("first", "b"), ("second", "c"))] == [2, 1]


def test_too_little_memory_is_no_failure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cases, "run_bench", lambda *_: {"failed": "out of memory"})
    compare([Comparison("t", ["step"], {"a": []})], "", [])


@pytest.mark.slow
def test_from_processes_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    comparison = Comparison(
        "attention",
        SMALL,
        {backend: ["--backend", backend] for backend in ("grid_sample", "gather")},
        rounds=1,
        also={"forward alone": "forward_seconds"},
    )
    compare([comparison], "", ["--runs", "2", "--threads", "1", "--output", f"{tmp_path}/new/table.md"])
    written = (tmp_path / "new" / "table.md").read_text(encoding="utf-8")
    assert written.strip() == capsys.readouterr().out.strip()
    assert written.count("| grid_sample |") == written.count("| gather      |") == 2
    assert "**attention: forward alone**" in written
    figures = read_json(tmp_path / "new" / "table.json")["attention"]
    assert [len(figures[name][0]["seconds"]) for name in ("grid_sample", "gather")] == [2, 2]


def test_without_a_gpu_one_line_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="^benchmarks.cuda: there is no CUDA device that torch can use"):
        cuda.main([])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["stpe"], "no benchmark 'stpe'; there are: step"), (["step", "growth", "--runs", "1"], "one benchmark")],
)
def test_misuse_of_make_bench_is_one_line(arguments: list[str], says: str):
    with pytest.raises(SystemExit, match=says):
        benchmarks.main(arguments)


@pytest.mark.parametrize("name", [*benchmarks.NAMES, *benchmarks.ALSO])
def test_every_benchmark_is_there(name: str):
    assert callable(importlib.import_module(f"benchmarks.{name}").main)
    assert sys.modules[f"benchmarks.{name}"].__doc__
