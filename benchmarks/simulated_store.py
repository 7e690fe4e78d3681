"""A store with runs of many figures, for benchmarks and tests of what reads it."""

from __future__ import annotations

import random
import uuid
from typing import Any

from vclr.catalog.classes import KNOWN, NOVEL
from vclr.catalog.metrics import HEADLINE, SHOWN_METRICS
from vclr.tracking.figures import RESULTS_KEY
from vclr.tracking.points import valid_key
from vclr.tracking.record import PARENT
from vclr.tracking.stored_runs import open_client

POINTS = 5  # of a curve
START = 1_700_000_000_000  # when the first run began, in milliseconds since 1970
MINUTE = 60_000
PARAMS = {"train.max_iter": 40, "optimizer.lr": 0.0002}


def fill_store(uri: str, experiments: int, seeds: int, keys: int = 100, name: str = "vclr") -> str:
    """Write runs as trainings write them, but all at once: experiments, each with a run of its own for the means.

    Args:
        uri: a SQLite database that exists.
        experiments: number of experiments; they are called `exp0`, `exp1` ...
        seeds: number of trainings of each.
        keys: number of metric keys of a training.
        name: of the MLflow experiment.

    Returns:
        The id of the MLflow experiment.
    """
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    number = open_client(uri).create_experiment(name, tags={"mlflow.experimentKind": "custom_model_development"})
    rows: dict[Any, list[dict[str, Any]]] = {SqlRun: [], SqlTag: [], SqlParam: [], SqlMetric: [], SqlLatestMetric: []}
    generator = random.Random(0)

    def add(run_name: str, figures: dict[str, float], tags: dict[str, str], params: dict[str, Any]) -> str:
        run_id, started = uuid.UUID(int=generator.getrandbits(128)).hex, START + len(rows[SqlRun]) * MINUTE
        fixed = {"source_type": "LOCAL", "source_name": "", "entry_point_name": "", "user_id": "", "artifact_uri": ""}
        fixed |= {"lifecycle_stage": "active", "status": "FINISHED", "source_version": "", "name": run_name}
        about = {"run_uuid": run_id, "experiment_id": int(number), "start_time": started, "end_time": started + MINUTE}
        rows[SqlRun].append(fixed | about)
        rows[SqlTag] += [
            {"run_uuid": run_id, "key": key, "value": text}
            for key, text in (tags | {"mlflow.runName": run_name}).items()
        ]
        rows[SqlParam] += [{"run_uuid": run_id, "key": key, "value": str(value)} for key, value in params.items()]
        for key, value in figures.items():
            steps = [0] if key.startswith(RESULTS_KEY) else [20 * step for step in range(POINTS)]
            points = [{"run_uuid": run_id, "key": key, "timestamp": started + step, "step": step} for step in steps]
            rows[SqlMetric] += [point | {"value": value, "is_nan": False} for point in points]
            rows[SqlLatestMetric].append(points[-1] | {"value": value, "is_nan": False})
        return run_id

    for experiment in range(experiments):
        own = {"experiment": f"exp{experiment}"}
        found = [simulated_figures(generator, keys) for _ in range(seeds)]
        shown = {key for key in found[0] if key.startswith(RESULTS_KEY) and not key.endswith(("/low", "/high"))}
        means = {key: sum(figures[key] for figures in found) / seeds for key in sorted(shown)}
        parent = add(f"exp{experiment}", means, own | {"vclr.kind": "experiment"}, {})
        for seed, figures in enumerate(found):
            tags = {"vclr.kind": "training", "seed": str(seed), PARENT: parent, "git.revision": "f00d" * 10}
            tags |= {"git.dirty": "False", "data.train_annotations": "c0ffee" * 10}
            tags |= {f"results.{NOVEL}.test_set": f"data/val.json sha256 {'ab' * 32}"}
            params = PARAMS | {"optimizer.milestones": [30], "optimizer.lr": 0.0001 * (experiment + 1)}
            add(f"exp{experiment}/seed{seed}", figures, own | tags, params)
    with SqlAlchemyStore(uri, "mlartifacts").ManagedSessionMaker() as session:
        for model, values in rows.items():
            session.bulk_insert_mappings(model, values)
    return str(number)


def simulated_figures(generator: random.Random, keys: int) -> dict[str, float]:
    """Return results of known and novel objects with the interval of the headline, and curves for the other keys."""
    figures = {}
    for group in (NOVEL, KNOWN):
        for metric in SHOWN_METRICS:
            key, value = f"{RESULTS_KEY}{group}/{valid_key(metric)}", generator.uniform(20, 60)
            figures[key] = value
            if metric == HEADLINE:
                figures |= {f"{key}/low": value - 3, f"{key}/high": value + 4}
    names = [f"{part}/{number}" for number in range(keys) for part in ("train", "eval", "speed", "system")]
    return figures | {name: generator.random() for name in names[: keys - len(figures)]}
