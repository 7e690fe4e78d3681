"""Which views fail: a measure below its minimum, files that cannot be used, or no file at all."""

from __future__ import annotations

from collections.abc import Sequence

from vclr.catalog.view_measures import VIEW_MEASURES, VIEW_MINIMA
from vclr.catalog.views import NATURAL
from vclr.coco.annotations import Json
from vclr.errors import UsageError, nearest
from vclr.studio.data import CONTROL, Sample
from vclr.studio.inspect import Found, Inspection
from vclr.wording import count_of

Minima = dict[str, dict[str, float]]  # view -> measure -> least value


def read_minima(options: dict[str, Sequence[str]], sample: Sample) -> Minima:
    """Return the minima of each view.

    Args:
        options: for some of the measures of `VIEW_MINIMA`, what the command line says: NAME=VALUE for a view, VALUE for
            all of them; the last one counts.
        sample: has the views. Controls, which break what a view keeps, have only the minima of their name.

    Raises:
        UsageError: a value is no number from 0 to 1, or there is no such view.
    """
    minima = {name: {} if view.source == CONTROL else dict(VIEW_MINIMA) for name, view in sample.views.items()}
    for measure, texts in options.items():
        if texts and measure == "outlines_kept" and sample.objects is None:
            raise UsageError(f"{option_of(measure)}: needs the outlines of objects; give --annotations FILE")
        if texts and measure == "own_photo" and len(sample.names) == 1:
            raise UsageError(f"{option_of(measure)}: needs other photos to compare with; raise --sample")
        for text in texts:
            view, equals, number = text.rpartition("=")
            value = _read_share(measure, text, number)
            if not equals:
                for name, own in minima.items():
                    if sample.views[name].source != CONTROL:
                        own[measure] = value
            elif view in minima:
                minima[view][measure] = value
            else:
                near = nearest(view, minima)
                raise UsageError(f"{option_of(measure)} {text}: there is no view {view!r}; nearest: {near}")
    return minima


def option_of(measure: str) -> str:
    """Return the option that sets the minimum of a measure."""
    return f"--min-{measure.replace('_', '-')}"


def _read_share(measure: str, text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{option_of(measure)} {text}: must be NAME=VALUE or VALUE, from 0 to 1")
    return value


def list_failures(found: Found, minima: dict[str, float]) -> list[str]:
    """Return in words what is wrong with a view; empty if it may be trained on."""
    if not found.values and not found.unusable:
        return ["has no file of any photo of the sample"]
    failures = []
    if found.unusable:
        first = next(iter(found.unusable.values()))
        failures.append(f"{count_of(len(found.unusable), 'file')} of the sample cannot be used; the first: {first}")
    for measure, least in minima.items():
        value = found.summarize(measure)
        if value is not None and value[0] < least:
            hint = "; the files seem to belong to other photos" if measure == "own_photo" else ""
            failures.append(f"{measure} {value[0]:.3f} is below {least:g}{hint}")
    return failures


def as_json(described: Json, sample: Sample, seed: int, inspection: Inspection, minima: Minima) -> Json:
    """Return the content of the json: see docs/views.md, "Inspect"."""
    views, failures = {}, []
    for name, found in inspection.views.items():
        own: list[str] = [] if name == NATURAL else list_failures(found, minima[name])
        failures += [f"view {name}: {'; '.join(own)}"] if own else []
        view = sample.views.get(name)
        views[name] = {
            "source": view.source if view else "photos",
            "num_measured": len(found.values),
            "num_missing": view.missing if view else 0,
            "first_missing": view.first_missing if view else "",
            "unusable": found.unusable,
            "misfits": found.misfits(),
            "measures": {measure: _figure(found, measure) for measure in VIEW_MEASURES},
            "minima": minima.get(name, {}),
            "failures": own,
            "photos": found.values,
        }
    return {
        "inspected": described | {"num_photos": sample.num_photos, "sample": len(sample.names), "seed": seed},
        "passed": not failures,
        "failures": failures,
        "unreadable_photos": inspection.unreadable,
        "views": views,
    }


def _figure(found: Found, measure: str) -> Json | None:
    value = found.summarize(measure)
    return None if value is None else {"mean": value[0], "interval": list(value[1])}
