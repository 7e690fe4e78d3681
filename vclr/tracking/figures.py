"""What MLflow gets of evaluations and probes: figures by key, few enough for its page, and tags that say of what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vclr.catalog.classes import ALL, target_of
from vclr.catalog.metrics import SHOWN_METRICS
from vclr.catalog.views import NATURAL
from vclr.files import read_json
from vclr.tracking.data_sets import TEST_ANNOTATIONS, DataSet, data_set
from vclr.tracking.points import valid_key
from vclr.tracking.run_files import RunFiles

EVALUATION, PROBE = "results", "probe"  # kinds of results, and the first words of their keys
RESULTS_KEY = f"{EVALUATION}/"
# MLflow's page dies of hundreds of keys. With these, a run has at most 100.
MAX_FIGURES = 44
FEWEST_FIGURES = 3  # the headline with the ends of its interval


@dataclass(frozen=True)
class Result:
    """What MLflow gets of an evaluation or a probe.

    Attributes:
        place: its kind and protocol.
        figures: by key.
        tags: name the test set, and weights and iteration.
        time_ms: when it was made, in milliseconds since 1970.
        headline: the key of the figure that checkpoints are compared by; "" if this is not for comparing.
        checkpoint: the sha256 of the one that was measured.
        iteration: of the checkpoint, if it is known.
        test_set: the annotations of its test set.
    """

    place: str
    figures: dict[str, float]
    tags: dict[str, str]
    time_ms: int
    headline: str
    checkpoint: str
    iteration: int | None
    test_set: DataSet


def read_results(files: RunFiles) -> list[Result]:
    """Return what MLflow gets of the evaluations and probes of a run, the oldest first.

    Each kind and protocol has at most a third of what the earlier ones left of `MAX_FIGURES`, but the headline with the
    ends of its interval as long as there is room. Their files are stored whole.
    """
    found: list[Result] = []
    keys: dict[str, set[str]] = {}  # by place
    limits: dict[str, int] = {}
    for record in sorted(map(read_json, files.results.glob("*.json")), key=lambda record: float(record["began"])):
        result = _read_result(record)
        left = MAX_FIGURES - len(set[str]().union(*keys.values()))
        limit = limits.setdefault(result.place, min(max(FEWEST_FIGURES, left // 3), left))
        own = keys.setdefault(result.place, set())
        new = [key for key in result.figures if key not in own]
        own |= {*new[: max(0, limit - len(own))]}
        own -= {key for key in own if key.endswith("/low") and key.removesuffix("low") + "high" not in own}
        figures = {key: value for key, value in result.figures.items() if key in own}
        found.append(replace(result, figures=figures, headline=result.headline if result.headline in figures else ""))
    return found


def newest_results(results: Iterable[Result]) -> list[Result]:
    """Return those results that no newer one replaces: the last of each kind and protocol."""
    by_place = {result.place: result for result in sorted(results, key=lambda result: result.time_ms)}
    return [*by_place.values()]


def _read_result(record: dict[str, Any]) -> Result:
    kind, content = record["kind"], record["content"]
    source = content["provenance"]
    checkpoint, test_set, groups = source["checkpoint"], source["test_set"], content.get("groups") or {}
    figures = SELECT[kind](content)
    return Result(
        f"{kind}.{_beside_groups(source['protocol'], groups) or ALL}",
        figures,
        _tags(kind, source),
        round(1000 * record["time"]),
        next(iter(figures), "") if kind == EVALUATION else "",
        str(checkpoint["sha256"]),
        checkpoint["iteration"],
        data_set(TEST_ANNOTATIONS, test_set["annotations"], test_set["sha256"]),
    )


def select_probe(content: dict[str, Any]) -> dict[str, float]:
    """Return the part of probe.json that is stored, by MLflow's keys: the headline of the target group."""
    groups = content["renderings"][NATURAL]["groups"]
    group, protocol, headline = target_of(groups), content["provenance"]["protocol"], content["headline"]
    parts = [part for part in (_beside_groups(protocol, groups), group) if part]
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
    """Return the part of metrics.json that is stored, by MLflow's keys, the most important first."""
    protocol, groups = metrics["provenance"]["protocol"], metrics["groups"]
    parts = groups or {ALL: metrics}
    target = target_of(parts)
    if _beside_groups(protocol, groups):
        parts = {**{f"{protocol}/{group}": values for group, values in groups.items()}, protocol: metrics}
        target = f"{protocol}/{target}" if groups else protocol
    parts = {target: parts[target], **parts}  # it is first
    names = [name for name in SHOWN_METRICS if any(values.get(name) is not None for values in parts.values())]
    found: dict[str, float] = {}
    for name in names:
        keys = {
            part: valid_key(f"{RESULTS_KEY}{part}/{name}")
            for part, values in parts.items()
            if values.get(name) is not None
        }
        for part, key in keys.items():
            found[key] = float(parts[part][name])
            interval = (parts[part].get("intervals") or {}).get(name)
            if interval and name == names[0]:
                found |= {f"{key}/low": float(interval[0]), f"{key}/high": float(interval[1])}
    return found


def _beside_groups(protocol: str, groups: Mapping[str, Any]) -> str:
    """Return the name of a protocol; "" if it is one of the groups: then it has the keys of all of them."""
    return protocol if protocol not in groups else ""


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


SELECT = {EVALUATION: select_results, PROBE: select_probe}
