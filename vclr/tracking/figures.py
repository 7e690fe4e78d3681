"""What MLflow gets of evaluations and probes: figures by key, few enough for its page, and tags that say of what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vclr.catalog.classes import ALL, target_of
from vclr.catalog.metrics import BOX_HEADLINE, HEADLINE, SHOWN_METRICS
from vclr.catalog.views import NATURAL
from vclr.files import read_json
from vclr.tracking.points import valid_key
from vclr.tracking.run_files import RunFiles

EVALUATION, PROBE = "evaluation", "probe"  # kinds of results
RESULTS_KEY = "results/"
MAX_FIGURES = 60  # of all results of a run: the page dies of hundreds of keys


@dataclass(frozen=True)
class Result:
    """What MLflow gets of an evaluation or a probe: figures and tags by key, and when they were made."""

    figures: dict[str, float]
    tags: dict[str, str]
    time_ms: int


def read_results(files: RunFiles) -> list[Result]:
    """Return what MLflow gets of the evaluations and probes of a run."""
    found = []
    for path in sorted(files.results.glob("*.json")):
        record = read_json(path)
        content, time_ms = record["content"], round(1000 * record["time"])
        select = select_probe if record["kind"] == PROBE else select_results
        kind = "probe" if record["kind"] == PROBE else "results"
        found.append(Result(select(content), _tags(kind, content["provenance"]), time_ms))
    return _limit(found)


def _limit(results: list[Result]) -> list[Result]:
    """Keep as many figures of each result as MLflow's page can show, the most important ones first."""
    most = max(1, MAX_FIGURES // max(1, len(results)))
    return [Result(dict(list(one.figures.items())[:most]), one.tags, one.time_ms) for one in results]


def select_probe(content: dict[str, Any]) -> dict[str, float]:
    """Return the part of probe.json that is stored, by MLflow's keys: the headline of the target group."""
    groups = content["renderings"][NATURAL]["groups"]
    group, protocol, headline = target_of(groups), content["provenance"]["protocol"], content["headline"]
    parts = [part for part in (protocol if protocol not in groups else "", group) if part]
    part = "/".join(parts[:1] if group == ALL else parts)
    kept = {
        view: rendering["groups"][group]["ratio"].get(headline)
        for view, rendering in content["renderings"].items()
        if view != NATURAL
    }
    kept["appearance_invariance"] = content["appearance_invariance"]["groups"][group]["mean_ratio"]
    return {
        valid_key(f"probe/{part}/{headline}_kept/{name}"): 100 * ratio
        for name, ratio in kept.items()
        if ratio is not None
    }


def select_results(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the part of metrics.json that is stored, by MLflow's keys: metric by metric, the headline first."""
    protocol, groups = metrics["provenance"]["protocol"], metrics["groups"]
    if protocol and protocol not in groups:
        parts = {**{f"{protocol}/{group}": values for group, values in groups.items()}, protocol: metrics}
    else:
        parts = groups or {ALL: metrics}
    found = {}
    for name in SHOWN_METRICS:
        for part, values in parts.items():
            if values.get(name) is None:
                continue
            key = valid_key(f"{RESULTS_KEY}{part}/{name}")
            found[key] = float(values[name])
            if name in (HEADLINE, BOX_HEADLINE) and (interval := (values.get("intervals") or {}).get(name)):
                found |= {f"{key}/low": float(interval[0]), f"{key}/high": float(interval[1])}
    return found


def _tags(kind: str, provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that name what was evaluated: the test set, and weights and iteration if they are known."""
    test_set, name, checkpoint = provenance["test_set"], provenance["protocol"] or ALL, provenance["checkpoint"]
    tags = {
        "test_set": f"{test_set['annotations']} sha256 {test_set['sha256']}",
        "weights": provenance.get("weights"),
        "checkpoint": Path(checkpoint["path"]).name,
        "iteration": checkpoint["iteration"],
    }
    return {valid_key(f"{kind}.{name}.{key}"): str(text) for key, text in tags.items() if text is not None}
