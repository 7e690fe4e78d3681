"""What probes say: how much each experiment keeps if only appearance changes, as figures and tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from vclr.catalog.classes import ALL
from vclr.catalog.views import CONTROLS, NATURAL
from vclr.coco.annotations import Json
from vclr.evaluation.probe_figure import SHIFT
from vclr.evaluation.probe_table import format_share, kept
from vclr.files import read_json
from vclr.outputs import PROBE_FILE
from vclr.report.curves import INK, look, style, to_svg
from vclr.report.experiments import Experiment, groups_of, target_group

log = logging.getLogger("vclr.report")

KEYS = {"renderings", "appearance_invariance", "headline", "seed", "provenance"}  # of probe.json


def probe_section(experiments: list[Experiment], lines: Mapping[str, int]) -> Json | None:
    """Return what the template says about the probes of experiments on one test set; None if there are none.

    A probe is of the first seed. `lines` says which color and line an experiment has.
    """
    probes = _read_probes(experiments)
    if not probes:
        return None
    headline = next(iter(probes.values()))["headline"]
    shown = dict.fromkeys(view for probe in probes.values() for view in probe["renderings"] if view != NATURAL)
    views = sorted(shown, key=lambda view: view in CONTROLS)
    groups = dict.fromkeys(group for probe in probes.values() for group in probe["appearance_invariance"]["groups"])
    target, salt = target_group(experiments), str(experiments[0].test_set.key)
    numbers = [lines[name] for name in probes]
    sections = []
    for group in sorted(groups, key=lambda group: group != target):
        name = groups_of(experiments)[0] if group == ALL else group
        shares = [[_kept(probe, view, group, headline) for view in views] for probe in probes.values()]
        title = f"{headline} of {name} classes in percent of the photos'"
        rows = [(probed, _cells(probe, views, group, headline)) for probed, probe in probes.items()]
        sections.append({"name": name, "figure": _draw(shares, views, numbers, title, salt), "rows": rows})
    return {
        "headline": headline,
        "views": views,
        "controls": [view for view in views if view in CONTROLS],
        "have_same_renderings": len({_renderings(probe) for probe in probes.values()}) == 1,
        "groups": sections,
    }


def _read_probes(experiments: list[Experiment]) -> dict[str, Json]:
    """Return the probes by experiment; warn of one with another headline than the first, and leave it out."""
    probes: dict[str, Json] = {}
    for experiment in experiments:
        if (probe := _read_probe(experiment)) is None:
            continue
        first, own = (one["headline"] for one in (next(iter(probes.values()), probe), probe))
        if own == first:
            probes[experiment.name] = probe
        else:
            path = experiment.predictions.with_name(PROBE_FILE)
            log.warning("%s: is about %s, the other probes about %s; left out", path, own, first)
    return probes


def _renderings(probe: Json) -> frozenset[tuple[str, str, int]]:
    """Return what the renderings of a probe are, each by name, source and seed."""
    renderings = probe["renderings"].items()
    return frozenset((view, found["source"], probe["seed"]) for view, found in renderings if view != NATURAL)


def _read_probe(experiment: Experiment) -> Json | None:
    """Return the probe of what was evaluated; warn of one of something else."""
    path = experiment.predictions.with_name(PROBE_FILE)
    if not path.is_file():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or not content.keys() >= KEYS:
        log.warning("%s: was not written by this version of `vclr probe`; left out", path)
        return None
    if not _is_of(experiment, content["provenance"]):
        what = "checkpoint, test set, weights and settings"
        log.warning("%s: is not of the %s that metrics.json names; left out, evaluate and probe again", path, what)
        return None
    return content


def _is_of(experiment: Experiment, provenance: Json) -> bool:
    """Tell whether a probe is of what was evaluated, as far as both say what that was; the checkpoint must be known."""
    checkpoint = (provenance["checkpoint"] or {}).get("sha256")
    probed = provenance["test_set"]["sha256"], provenance.get("weights"), provenance.get("config")
    evaluated = experiment.test_set.sha256, experiment.recorded_weights, experiment.recorded_settings
    is_same = all(one == other for one, other in zip(probed, evaluated, strict=True) if one and other)
    return is_same and (not checkpoint or checkpoint == experiment.checkpoints[0])


def _kept(probe: Json, view: str, group: str, headline: str) -> tuple[float | None, Sequence[float] | None]:
    """Return the share that a rendering keeps, and its interval."""
    return kept(probe["renderings"].get(view, {"groups": {}})["groups"].get(group, {}), headline)


def _cells(probe: Json, views: Sequence[str], group: str, headline: str) -> list[str]:
    """Write the photos' metric, the share that each rendering keeps, and the appearance invariance."""
    photos = probe["renderings"][NATURAL]["groups"].get(group, {}).get("metrics", {}).get(headline)
    mean = probe["appearance_invariance"]["groups"].get(group, {"mean_ratio": None, "interval": None})
    shares = [_kept(probe, view, group, headline) for view in views] + [(mean["mean_ratio"], mean["interval"])]
    shown = ("–" if ratio is None else format_share(ratio, ends, unit="") for ratio, ends in shares)
    return ["–" if photos is None else f"{photos:.1f}", *shown]


def _draw(
    shares: Sequence[Sequence[tuple[float | None, Sequence[float] | None]]],
    views: Sequence[str],
    numbers: Sequence[int],
    title: str,
    salt: str,
) -> Markup:
    """Draw the share that each rendering keeps, one line per experiment, with its interval; controls are apart."""
    figure = Figure(figsize=(1.2 + 0.85 * len(views), 2.9), layout="constrained")
    is_control = np.array([view in CONTROLS for view in views])
    axes = figure.add_subplot()
    for place, (found, number) in enumerate(zip(shares, numbers, strict=True)):
        places = np.arange(len(views)) + SHIFT * (place - (len(shares) - 1) / 2)
        values = np.array([np.nan if ratio is None else 100 * ratio for ratio, _ in found])
        low, high = 100 * np.array([interval or (np.nan, np.nan) for _, interval in found]).T
        axes.plot(places[~is_control], values[~is_control], **look(number), linewidth=1.4)
        axes.plot(places[is_control], values[is_control], **look(number) | {"linestyle": ""})
        axes.vlines(places, low, high, color=look(number)["color"], linewidth=1.2)
    axes.axhline(100, color=INK, alpha=0.5, linewidth=0.9, linestyle=(0, (4, 3)))
    style(axes)
    axes.set_xticks(range(len(views)), [view.replace("_", "\n") for view in views], parse_math=False)
    axes.set_xlim(-0.5, len(views) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    return to_svg(figure, f"{title}; the table has the numbers", salt=salt)
