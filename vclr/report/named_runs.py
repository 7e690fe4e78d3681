"""What `vclr compare` is asked to compare: folders and runs of a store, by name, and the seeds of each experiment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vclr.config import read_config
from vclr.errors import UsageError, UserError
from vclr.files import read_json
from vclr.report.experiments import Experiment
from vclr.report.join_seeds import join_seeds
from vclr.report.read_experiments import protocols_in, read_results
from vclr.report.stored_experiments import stored_experiments, stored_seed
from vclr.tracking.record import KIND, PARENT
from vclr.tracking.run_files import CODE
from vclr.tracking.secrets import redact
from vclr.tracking.stored_runs import StoredRun, find_stored_runs, read_run_file

RUN, EXPERIMENT = "runs:/", "experiments:/"
RUN_ID = re.compile(r"[0-9a-f]{32}")
SEED_FOLDER = re.compile(r"seed(\d+)")
MAX_FILES = 10  # runs of a store whose code changes are fetched, each with requests of its own


@dataclass
class NamedRun:
    """A training that was named, or one of an experiment that was.

    Attributes:
        name: what was typed, or a name of its own for a training of an experiment.
        experiment: the name of its experiment.
        key: what the trainings of an experiment share.
        seed: its seed; None if it is not known.
        place: what no other training shares.
        results: its results, one entry per test set.
    """

    name: str
    experiment: str
    key: str
    seed: int | None
    place: str
    results: list[Experiment]


def read_named(names: Sequence[str], uri: str) -> tuple[list[Experiment], list[str]]:
    """Read what is named, in this order.

    If trainings of several experiments are named, those of one experiment become its seeds. Otherwise each training
    stays a run of its own.

    Args:
        names: each a folder of results, a run folder, the folder of an experiment with `seed<k>` in it, the id of a run
            of the store, `runs:/ID` or `experiments:/NAME`.
        uri: the store; read only if a run of it is named.

    Returns:
        The results, one entry per experiment or run and test set; and notes on what was left out.

    Raises:
        UsageError: fewer than two trainings are named, one is named twice, or one has no results.
        UserError: a file is damaged, or the store cannot be read.
    """
    if not names:
        raise UsageError("compare: name at least two runs")
    stored, notes = _find_stored(names, uri)
    runs = [run for name in names for run in (stored[name] if _is_stored(name) else _find_in_folder(Path(name)))]
    for position, run in enumerate(runs):
        if run.place in [other.place for other in runs[:position]]:
            raise UsageError(f"compare: {run.name} is named twice; name each run once")
    if len(runs) < 2:
        raise UsageError("compare: name at least two runs")
    return _by_experiment(runs), notes


def _by_experiment(runs: list[NamedRun]) -> list[Experiment]:
    groups: dict[str, list[NamedRun]] = {}
    for run in runs:
        groups.setdefault(run.key, []).append(run)
    if len(groups) == 1:
        groups = {run.place: [run] for run in runs}
    found: list[Experiment] = []
    taken: set[str] = set()
    for group in groups.values():
        name = group[0].name if len(group) == 1 else group[0].experiment
        while name in taken:  # one experiment from a folder and from the store
            name += " (2)"
        taken.add(name)
        seeds = [run.seed for run in group]
        if None in seeds or len({*seeds}) < len(seeds):  # two trainings with one seed are not a mean over seeds
            singles = {run.name: run.results for run in group}
            taken |= singles.keys()
        else:
            singles = {name: join_seeds([run.results for run in group], [seed or 0 for seed in seeds])}
        for own, results in singles.items():
            for one in results:
                one.name = own
                found.append(one)
    return found


def _is_stored(name: str) -> bool:
    return name.startswith((RUN, EXPERIMENT)) or (bool(RUN_ID.fullmatch(name)) and not Path(name).exists())


def _find_stored(names: Sequence[str], uri: str) -> tuple[dict[str, list[NamedRun]], list[str]]:
    """Return the trainings of each name of the store, and a note on those without results."""
    wanted = [name for name in names if _is_stored(name)]
    if not wanted:
        return {}, []
    ids = [name.removeprefix(RUN) for name in wanted if not name.startswith(EXPERIMENT)]
    experiments = [name.removeprefix(EXPERIMENT) for name in wanted if name.startswith(EXPERIMENT)]
    runs = find_stored_runs(uri, ids, experiments)
    found: dict[str, list[NamedRun]] = {}
    unfinished: list[str] = []
    for name in wanted:
        own = _matching(name, runs)
        if not own:
            raise UsageError(f"compare: {name}: no such run in {redact(uri)}; name the store with --uri")
        read = [_named(run, name if len(own) == 1 else run.name) for run in own]
        found[name] = [run for run in read if run.results]
        if not found[name]:
            raise UsageError(f"compare: {name}: has no results; evaluate it with `vclr evaluate`")
        unfinished += [run.name for run in read if not run.results]
    repeated = _repeated_names(found)
    for named in (one for group in found.values() for one in group if one.name in repeated):
        named.name = f"{named.name} ({named.place[:8]})"
    if sum(map(len, found.values())) <= MAX_FILES:
        _add_code(found, uri)
    notes = [f"Without results, so left out: {', '.join(unfinished)}."] if unfinished else []
    return found, notes


def _matching(name: str, runs: list[StoredRun]) -> list[StoredRun]:
    """Return the trainings that a name stands for; the run of an experiment stands for its trainings."""
    if name.startswith(EXPERIMENT):
        wanted = name.removeprefix(EXPERIMENT)
        named = [run for run in runs if run.group == wanted or run.tags.get("experiment") == wanted]
        return [run for run in named if run.tags.get(KIND) != "experiment"]
    run_id = name.removeprefix(RUN)
    children = [run for run in runs if run.tags.get(PARENT) == run_id]
    return children or [run for run in runs if run.id == run_id]


def _named(run: StoredRun, name: str) -> NamedRun:
    experiment = run.tags.get("experiment", run.id)
    key = f"{run.group}\n{experiment}"
    return NamedRun(name, experiment, key, stored_seed(run), run.id, stored_experiments(run, name))


def _repeated_names(found: dict[str, list[NamedRun]]) -> set[str]:
    names = [one.name for group in found.values() for one in group]
    return {name for name in names if names.count(name) > 1}


def _add_code(found: dict[str, list[NamedRun]], uri: str) -> None:
    """Fetch how the code of each run differed from its revision."""
    for run in (one for group in found.values() for one in group):
        first = run.results[0].environment if run.results else {}
        changes = read_run_file(uri, run.place, CODE) if first.get("git_dirty") else None
        for one in run.results:
            one.code_changes = "" if first.get("git_dirty") is False else changes


def _find_in_folder(folder: Path) -> list[NamedRun]:
    """Return the training of a folder, or those of an experiment's folder."""
    seeds = sorted(_seed_folders(folder), key=lambda one: int(one.name.removeprefix("seed")))
    if seeds and not (folder / "config.yaml").is_file() and not protocols_in(folder):
        return [_read_folder(one, str(folder)) for one in seeds]
    return [_read_folder(folder, str(folder.parent))]


def _seed_folders(folder: Path) -> list[Path]:
    """List the `seed<k>` of an experiment that have results."""
    seeds = [path for path in folder.glob("seed*") if SEED_FOLDER.fullmatch(path.name)]
    return [path for path in seeds if _metrics_in(path) or _metrics_in(_beside_runs(path))]


def _read_folder(folder: Path, experiment: str) -> NamedRun:
    results, run = _find(folder)
    place = results.resolve()
    found = read_results(str(folder), results, run)
    is_seed = SEED_FOLDER.fullmatch(place.name)
    seed = int(is_seed[1]) if is_seed else (read_config(run / "config.yaml").train.seed if run else None)
    key = str(place.parent if is_seed else place)
    return NamedRun(str(folder), experiment, key, seed, str(place), found)


def _find(folder: Path) -> tuple[Path, Path | None]:
    """Return the folder of a run's results, and its run folder if it is known."""
    is_run = (folder / "config.yaml").is_file()
    results = folder
    if is_run and not _metrics_in(folder):
        results = _beside_runs(folder)
    files = _metrics_in(results)
    if not files:
        looked = f"{folder} and {results}" if results != folder else str(folder)
        within = next((f", such as {one}" for one in sorted(results.glob("*")) if protocols_in(one)), "")
        raise UsageError(f"compare: no metrics.json in {looked}; name a folder that `vclr evaluate` wrote{within}")
    return results, folder if is_run else _run_of(files[0])


def _beside_runs(run: Path) -> Path:
    """Return the folder in `results` that has the name of a run in `runs`."""
    parts = [*run.parts]
    if "runs" in parts:
        parts[-1 - parts[::-1].index("runs")] = "results"
    return Path(*parts)


def _metrics_in(folder: Path) -> list[Path]:
    return [folder / protocol / "metrics.json" for protocol in protocols_in(folder)]


def _run_of(metrics: Path) -> Path | None:
    """Return the run folder of the checkpoint that was evaluated, if it is still there."""
    content = read_json(metrics)
    said = content.get("provenance") if isinstance(content, dict) else None
    if not isinstance(said, dict):
        raise UserError(f"{metrics}: does not say what was evaluated; evaluate again, or name the run folder")
    checkpoint = said.get("checkpoint")
    if not isinstance(checkpoint, dict):
        return None
    run = Path(str(checkpoint.get("path"))).parent.parent
    return run if (run / "config.yaml").is_file() else None
