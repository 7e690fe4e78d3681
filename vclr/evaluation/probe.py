"""A probe of one detector: what it finds in renderings of the test set that change how objects look.

A detector that relies on shape finds as much in a rendering that keeps shapes as in the photo. Each rendering is
evaluated with the annotations of the photos; for the controls, which take shapes apart, recall is therefore expected to
fall, and a detector that keeps it there relies on texture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vclr.catalog.classes import ALL
from vclr.catalog.metrics import BOX_HEADLINE, HEADLINE, SHOWN_METRICS
from vclr.catalog.views import CONTROLS, DEPTH, NATURAL, PROBE_VIEWS, RENDERED, STAND_INS, STYLE
from vclr.config import Config
from vclr.data.data_sets import evaluated_groups, test_set, test_views_key
from vclr.data.samples import TestSamples
from vclr.errors import UsageError, nearest
from vclr.evaluation import provenance
from vclr.evaluation.evaluate import headline_group, make_scorer, open_test_set, sending
from vclr.evaluation.inference import predict_data_set
from vclr.evaluation.probe_figure import draw_probe
from vclr.evaluation.probe_queries import QueryProbe
from vclr.evaluation.probe_ratios import Measured, mean_ratio, ratios
from vclr.evaluation.scorer import Scorer
from vclr.files import write_json
from vclr.models.detector import Detector
from vclr.outputs import PROBE_FILE
from vclr.pictures import software_of, write_png

SOFTWARE = "vclr probe"  # noted in the picture, so that a later run knows what it may overwrite


def check_picture(output: Path) -> None:
    """Refuse a folder whose `probe.png` another program made."""
    picture = output / "probe.png"
    if picture.is_file() and software_of(picture) != SOFTWARE:
        raise UsageError(f"--output {output}: probe.png in it was not written by this command; choose another folder")


def open_renderings(config: Config, views: Sequence[str] = ()) -> tuple[dict[str, TestSamples], dict[str, str]]:
    """Open the test set in each rendering.

    Args:
        config: names the test set, its folders of views, and the seed of computed views.
        views: names of renderings (default: `PROBE_VIEWS`, and the other folders of the test set).

    Returns:
        The samples of each rendering, the photos first and the controls last; and for each view that has no files, what
        is done without it.

    Raises:
        UsageError: a rendering does not exist; names the nearest.
        UserError: the test set cannot be read, or photos have no file in a view.
    """
    key, own = test_views_key(config), test_set(config).views
    folders, left_out = choose_renderings(views, own, key)
    samples = open_test_set(config, reads_photos=False)
    return {view: samples.in_view(view, folder, key) for view, folder in folders.items()}, left_out


def choose_renderings(views: Sequence[str], own: Mapping[str, str], key: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the folder of each rendering, empty if it needs none, and what is done without which view.

    Args:
        views: as in `open_renderings`.
        own: the folders of the test set's views.
        key: what names these folders, as `test_views_key` returns it.
    """
    if NATURAL in own:
        raise UsageError(f"{key}.{NATURAL}: {NATURAL} is the photo itself; give this view another name")
    folders, left_out = {NATURAL: ""}, {}
    for view in views or [*PROBE_VIEWS, *own]:
        if view in own or view in RENDERED or view == NATURAL:
            folders[view] = own.get(view, "")
        elif view in STAND_INS and not views:
            folders[STAND_INS[view]] = own.get(STAND_INS[view], "")
            left_out[view] = f"{key} names no folder of {view}; {STAND_INS[view]}, which is computed, takes its place"
        elif view in PROBE_VIEWS and not views:
            left_out[view] = f"{key} names no folder of {view}, and a pretrained model is needed to make it; left out"
        else:
            known = [NATURAL, DEPTH, STYLE, *own, *RENDERED]
            near = f"; nearest: {nearest(view, known)}" if view not in known else ""
            stand_in = f"; {STAND_INS[view]} is one" if view in STAND_INS else ""
            raise UsageError(f"--views {view}: no folder of {key} and not a computed view{near}{stand_in}")
    return {view: folders[view] for view in sorted(folders, key=lambda view: view in CONTROLS)}, left_out


def probe(
    model: Detector,
    config: Config,
    shown: Mapping[str, TestSamples],
    left_out: Mapping[str, str],
    output: Path,
    quiet: bool = False,
    checkpoint: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluate a detector on each rendering; write `probe.json` and `probe.png` into `output`.

    Each rendering costs one evaluation. Queries are compared along the way; those of the photos stay in memory, one per
    object.

    Args:
        model: the detector.
        config: names the test set, by `evaluation.protocol`.
        shown: the renderings, as `open_renderings` returned them.
        left_out: as `open_renderings` returned it.
        output: the folder to write.
        quiet: show no progress.
        checkpoint: what `provenance.describe_checkpoint` says about the model's weights.

    Returns:
        The content of probe.json. `renderings` has for each rendering its `source` and its `groups`; each group has
        `metrics` in percent, their `ratio` to those of the photos and `ratio_intervals` (both without thresholds), and
        what `summarize` says about its `queries`. `appearance_invariance` has, for each group, the `mean_ratio` of the
        `headline` over its `renderings`, which are all but the photos and the controls, and its `interval`.
        `different_objects` has, for each group, the cosine between queries of different objects in the photos;
        `left_out` is as given, `seed` that of the computed renderings, `headline` the metric that the picture shows,
        `provenance` as in metrics.json.
    """
    groups: dict[str, list[str] | None] = {**evaluated_groups(config)} or {ALL: None}
    queries = QueryProbe(shown[NATURAL].coco, config.model.criterion.matcher)
    measured: dict[str, dict[str, Measured]] = {}
    cosines: dict[str, dict[str, Any]] = {}
    for view, samples in shown.items():
        observe, compared = (queries.remember, dict) if view == NATURAL else queries.compare(groups)
        scorer = make_scorer(config, samples)
        predict_data_set(model, config, samples, sending(scorer.add), quiet, observe=observe)
        measured[view], cosines[view] = _measure(scorer, list(groups), headline_group(config)), compared()
    headline = _headline(measured[NATURAL])
    content = {
        "renderings": {
            view: {
                "source": samples.source,
                "groups": _describe(measured[view], None if view == NATURAL else measured[NATURAL], cosines[view]),
            }
            for view, samples in shown.items()
        },
        "appearance_invariance": _appearance_invariance(measured, headline),
        "different_objects": queries.compare_objects(groups),
        "left_out": dict(left_out),
        "seed": config.views.seed,
        "headline": headline,
        "num_images": len(shown[NATURAL]),
        "provenance": provenance.describe(config, checkpoint),
    }
    write_json(output / PROBE_FILE, content, indent=1)
    write_png(output / "probe.png", draw_probe(content), software=SOFTWARE)
    return content


def _measure(scorer: Scorer, groups: Sequence[str], otherwise: str) -> dict[str, Measured]:
    """Return the results of each group; a group that was not counted is the one that was counted `otherwise`."""
    metrics, draws = scorer.metrics(), scorer.draw()
    counted = {group: group if group in metrics else otherwise for group in groups}
    return {group: Measured(metrics[name], draws[name]) for group, name in counted.items()}


def _describe(
    found: Mapping[str, Measured], photos: Mapping[str, Measured] | None, cosines: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what probe.json says about the groups of a rendering; `photos` is None for the photos themselves."""
    return {
        group: {
            "metrics": one.metrics,
            **(ratios(one, photos[group]) if photos else {"ratio": None, "ratio_intervals": None}),
            "queries": cosines.get(group),
        }
        for group, one in found.items()
    }


def _appearance_invariance(measured: Mapping[str, Mapping[str, Measured]], headline: str) -> dict[str, Any]:
    views = [view for view in measured if view != NATURAL and view not in CONTROLS]
    groups = {
        group: mean_ratio([measured[view][group] for view in views], photos, headline)
        for group, photos in measured[NATURAL].items()
    }
    return {"renderings": views, "groups": groups}


def _headline(photos: Mapping[str, Measured]) -> str:
    """Return the first of the shown metrics that was measured."""
    candidates = (HEADLINE, BOX_HEADLINE, *SHOWN_METRICS)
    measured = (name for name in candidates for group in photos.values() if group.metrics.get(name) is not None)
    return next(measured, HEADLINE)
