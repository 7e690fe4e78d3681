"""`vclr fetch`: plan, check licenses, network and disk space, then fetch one source after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vclr.errors import UserError
from vclr.fetch.data_lock import DataLock
from vclr.fetch.fetch_source import fetch_source, refuse_missing
from vclr.fetch.plan import Plan, check_space, make_plan
from vclr.fetch.selection import select
from vclr.fetch.settings import Settings
from vclr.fetch.sources import Source
from vclr.fetch.table import describe, summarize, unsafe_licenses


def fetch(
    names: Sequence[str],
    catalog: Mapping[str, Source],
    settings: Settings,
    generate: Callable[[str], None],
    dry_run: bool = False,
    mbit: float = 100.0,
    commercial_safe: bool = False,
) -> None:
    """Fetch sources, or parts of them, into the data folder, and print the progress.

    Complete files are not downloaded again and partial ones are resumed. One process at a time works on a source.

    Args:
        names: `source` or `source/part`, a part being the start of a path or of a file's name.
        catalog: the sources by name.
        settings: how to fetch.
        generate: generates a source that is not downloaded.
        dry_run: print a table of the plan and write nothing.
        mbit: megabits per second, for the download time in the table.
        commercial_safe: refuse, before anything else, sources that may not be used commercially.

    Raises:
        UsageError: there is no such source or part.
        UserError: in one line: no space, no network, no address that works, a wrong file, or files that a person must
            put in place.
    """
    wanted = select(names, catalog)
    lock = DataLock(settings.output)
    plans = [make_plan(one, settings, lock) for one in wanted]
    if commercial_safe:
        _refuse_unsafe(plans)
    if dry_run:
        print(describe(plans, settings, mbit))
        return
    if not settings.quiet:
        for plan in plans:
            if not plan.source.generated:
                print(summarize(plan), flush=True)
    for plan in plans:
        if plan.unlisted:
            if plan.source.manual is not None:
                print(f"\n{plan.source.title}: in {settings.output}/\n{plan.source.manual.text}", flush=True)
            raise UserError(plan.unlisted)
    if settings.offline:
        refuse_missing(plans, settings)
    check_space(plans, settings.output)
    by_hand_of = []
    for one, plan in zip(wanted, plans, strict=True):
        if plan.source.generated:
            generate(plan.source.name)
        elif plan.by_hand:
            by_hand_of.append(plan)
        else:
            fetch_source(one, plan, settings)
    _ask_person(by_hand_of, settings.output)


def _refuse_unsafe(plans: Sequence[Plan]) -> None:
    found = [(plan.source.name, *license) for plan in plans for license in unsafe_licenses(plan).items()]
    if unsafe := dict.fromkeys(f"{source}: {name} ({because})" for source, name, because in found):
        raise UserError(f"--commercial-safe: nothing was fetched, because of {'; '.join(unsafe)}")


def _ask_person(plans: Sequence[Plan], output: Path) -> None:
    """Print what a person must put in place.

    Raises:
        UserError: something is not in place; names all of it.
    """
    missing = []
    for plan in plans:
        manual = plan.source.manual
        assert manual is not None
        print(f"\n{plan.source.title}: in {output}/\n{manual.text}", flush=True)
        missing += [str(output / path) for path in plan.by_hand if path not in manual.annotations]
        jsons = [str(output / path) for path in plan.by_hand if path in manual.annotations]
        missing += [" or ".join(jsons)] if manual.one_is_enough and jsons else jsons
    if missing:
        raise UserError(f"put these in place by hand, as described above: {', '.join(missing)}")
