"""Who makes the views `depth` and `style` of a set: exactly one producer for each, chosen by the key `views`.

`published` is a download; a learned producer is a model that renders the photos; a computed view needs neither; `auto`
takes the first of these that there is. The toy scenes come with their own. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vclr.catalog.views import COMPUTED_VIEWS, PRODUCERS, WEIGHT_FREE
from vclr.data.origins import Origins
from vclr.errors import UsageError, nearest
from workflow.weights import Weights

AUTO, PUBLISHED, GENERATED = "auto", "published", "generated"
GENERATED_SETS = ("toy",)
CHOSEN_VIEWS = tuple(WEIGHT_FREE)
NEVER = r"(?!)"  # a regular expression that nothing matches


def check_producers(views: Mapping[str, str]) -> None:
    """Check the values of the key `views`.

    Raises:
        UsageError: one is not a producer of its view; names the nearest.
    """
    for view, name in views.items():
        known = [AUTO, PUBLISHED, *PRODUCERS.get(view, {}), *COMPUTED_VIEWS]
        if name not in known:
            raise UsageError(f"views.{view}={name}: nothing makes this view so; nearest: {nearest(name, known)}")


class Producers:
    """The producer of each view of each set."""

    def __init__(
        self, views: Mapping[str, str], origins: Origins, weights: Weights, say: Callable[[str], object] | None = None
    ) -> None:
        """Take the key `views`, which has a value for each of `CHOSEN_VIEWS`; each choice that is used is said once."""
        self._origins, self._weights, self._say = origins, weights, say
        self._said: set[tuple[str, str]] = set()
        self._asked = dict(views)
        self._unpublished = {view: self._of_unpublished(view) for view in CHOSEN_VIEWS}

    def of(self, name: str, view: str) -> str:
        """Return the producer of a view of a set: `generated`, `published`, a learned one, or a computed view.

        Raises:
            UsageError: the published one is asked for, but nobody publishes it.
        """
        if name in GENERATED_SETS:
            return GENERATED
        is_published = (name, view) in self._origins.views
        if is_published and self._asked[view] in (AUTO, PUBLISHED):
            return PUBLISHED
        if self._asked[view] == PUBLISHED:
            published = ", ".join(sorted(one for one, other in self._origins.views if other == view))
            raise UsageError(
                f"views.{view}={PUBLISHED}: nobody publishes this view of {name} (only of {published}); "
                f"set views.{view} to {AUTO}, {', '.join(PRODUCERS.get(view, {}))} or {WEIGHT_FREE[view]}"
            )
        return self._unpublished[view]

    def is_learned(self, view: str) -> bool:
        """Tell whether a model renders this view of the sets of which it is neither generated nor downloaded."""
        return self._unpublished[view] in PRODUCERS.get(view, {})

    def any_is_learned(self) -> bool:
        """Tell whether a model renders any view."""
        return any(map(self.is_learned, CHOSEN_VIEWS))

    def options(self, name: str, view: str) -> str:
        """Return the options of `vclr views` that name the view and its producer, as words of a shell command."""
        producer = self.of(name, view)
        if self._say and (name, view) not in self._said:
            self._said.add((name, view))
            self._say(f"view {view} of {name}: {self._describe(view, producer)}")
        if producer not in PRODUCERS.get(view, {}):
            return f"--view {producer}"
        return f"--view {view} {self._weights.option(producer)}"

    def inputs(self, name: str, view: str) -> list[str]:
        """List the files that stand for the weights of a view's producer."""
        producer = self.of(name, view)
        return self._weights.inputs(producer) if producer in PRODUCERS.get(view, {}) else []

    def fetched(self) -> list[tuple[str, str]]:
        """List (set, view) of the views that are downloaded."""
        return [(name, view) for name, view in self._origins.views if self._is_fetched(name, view)]

    def fetched_sets(self) -> str:
        """Return what the wildcard `set` is in the rule that downloads views; it looks ahead at the view's name."""
        return "|".join(_pair(name, view) for name, view in self.fetched()) or NEVER

    def rendered_sets(self) -> str:
        """Return what the wildcard `set` is in the rule that renders `CHOSEN_VIEWS`: all other sets."""
        others = [*self.fetched(), *((name, view) for name in GENERATED_SETS for view in CHOSEN_VIEWS)]
        return rf"(?!{'|'.join(_pair(name, view) for name, view in others)})[\w-]+"

    def _describe(self, view: str, producer: str) -> str:
        how = f"{producer} (views.{view}={self._asked[view]})"
        if producer in PRODUCERS.get(view, {}):
            return f"{how}, {self._weights.describe(producer)}"
        return f"{how}, which needs no weights"

    def _is_fetched(self, name: str, view: str) -> bool:
        return view not in CHOSEN_VIEWS or self.of(name, view) == PUBLISHED

    def _of_unpublished(self, view: str) -> str:
        asked = self._asked[view]
        if asked not in (AUTO, PUBLISHED):
            return asked
        there = (producer for producer in PRODUCERS.get(view, {}) if self._weights.are_there(producer))
        return next(there, WEIGHT_FREE[view])


def _pair(name: str, view: str) -> str:
    return rf"{name}(?=/{view}/)"
