"""The facts behind a report's figures: runs, code and machine, licenses' files, leaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from vclr.config import DataSetConfig
from vclr.data.data_sets import fill_method
from vclr.errors import UserError
from vclr.files import read_facts, read_json
from vclr.report.experiments import Experiment, provenance
from vclr.splits.leaks import summarize_leaks
from vclr.tracking.run_files import RUN_FILE

SHORT_HASH = 12  # digits of a hash that are shown


class RunFacts(NamedTuple):
    """One training: its experiment, seed, folder, revision, evaluated checkpoint and MLflow run, as far as recorded."""

    experiment: str
    seed: int
    folder: str
    revision: str
    checkpoint: str
    mlflow_run: str


def run_facts(experiments: list[Experiment]) -> list[RunFacts]:
    """Describe each training of experiments, seed by seed."""
    return [facts for experiment in experiments for facts in _facts_of(experiment)]


def _facts_of(experiment: Experiment) -> Iterator[RunFacts]:
    for seed, folder, checkpoint in zip(experiment.seeds, experiment.runs, experiment.checkpoints, strict=True):
        revision = provenance(read_facts(folder / "environment.json")).get("revision", "not recorded")
        run = str(read_facts(folder / RUN_FILE).get("run_id", "not recorded"))
        yield RunFacts(experiment.name, seed, str(folder), revision, checkpoint[:SHORT_HASH] or "not recorded", run)


def code_facts(experiments: list[Experiment]) -> dict[str, list[str]]:
    """Describe code and machine of the runs: in one text if it is the same for all, else in one per experiment."""
    facts = {experiment.name: provenance(experiment.environment) for experiment in experiments}
    said: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for one in facts.values() for key in one):
        texts = {name: one.get(key, "not recorded") for name, one in facts.items()}
        is_same = len(set(texts.values())) == 1
        said[key] = list(texts.values())[:1] if is_same else [f"{name}: {text}" for name, text in texts.items()]
    return said


def evaluated_files(experiment: Experiment) -> DataSetConfig:
    proposals = fill_method(experiment.config, experiment.config.data.test).proposals if experiment.proposals else ""
    return replace(experiment.test_set.files, proposals=proposals)


def describe_leaks(results: Path) -> list[str]:
    """Say what `vclr audit` found in the test sets of an experiment, if it was run.

    Args:
        results: the folder of the experiment's results, with `leaks.json` or, per protocol, a file in `leaks/`.

    Raises:
        UserError: a file is damaged.
    """
    sentences = []
    for path in (results / "leaks.json", *sorted((results / "leaks").glob("*.json"))):
        if path.is_file():
            leaks = read_json(path)
            if not isinstance(leaks, dict) or "pairs_by" not in leaks:
                raise UserError(f"{path}: is not what vclr audit writes")
            sentences.append(summarize_leaks(leaks))
    return sentences or ["not looked for (run vclr audit)"]
