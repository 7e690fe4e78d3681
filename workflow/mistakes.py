"""Report mistakes in configuration, experiment names and targets in one line instead of Snakemake's traceback.

Snakemake wraps every exception of a Snakefile or of an input function, except SystemExit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml

from vclr.errors import UsageError, UserError, nearest
from workflow.producers import check_producers
from workflow.sources import CONFIG, EXPERIMENTS, PARTS, Sources
from workflow.training_proposals import check_training_proposals
from workflow.view_checks import check_view_checks


@contextmanager
def in_one_line() -> Iterator[None]:
    """Turn a user error into one line on stderr and exit."""
    try:
        yield
    except UserError as error:
        refuse(error)


def refuse(error: UserError) -> NoReturn:
    """Print the error, and exit."""
    print(f"vclr: {error}", file=sys.stderr, flush=True)
    sys.exit(error.exit_code)


def say(line: str) -> None:
    """Print a line about the plan on stderr."""
    print(f"vclr: {line}", file=sys.stderr, flush=True)


def check_config(config: Mapping[str, Any], sources: Sources) -> None:
    """Check the configuration of the workflow against its schema, and that its experiments exist.

    Args:
        config: the file with the changes of the command line.
        sources: finds schema, file and experiments.
    """
    with in_one_line():
        _check_schema(config, yaml.safe_load(sources.schema.read_text(encoding="utf-8")))
        check_producers(config["views"])
        check_training_proposals(config["training_proposals"])
        check_view_checks(config["view_checks"])
        if roots := [text for text in config["overrides"] if text.startswith("data.root=")]:
            raise UsageError(f"overrides: {roots[0]}: the key `data` moves the data folder of the whole workflow")
        written = yaml.safe_load(Path(sources.find(CONFIG)).read_text(encoding="utf-8"))
        sections = (config, *(config[name] for name in PARTS), {"experiments": [], **written})
        _check_exist(config["experiments"], sources.experiments())
        for key in ("untrained", "probed"):
            _check_named(key, config[key], sections)
        _check_named("compare", [name for pair in config.get("compare", []) for name in pair], sections)


def _check_schema(config: Mapping[str, Any], schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    for key in config:
        if key not in schema["properties"]:
            near = nearest(key, schema["properties"])
            raise UsageError(f"configs/workflow.yaml or --config: {key}: unknown key; nearest: {near}")
    if error := best_match(Draft202012Validator(schema).iter_errors(config)):
        where = ".".join(map(str, error.absolute_path))
        raise UsageError(f"configs/workflow.yaml or --config: {f'{where}: ' if where else ''}{error.message}")


def _check_exist(experiments: list[str], known: list[str]) -> None:
    for name in experiments:
        if name not in known:
            near = nearest(name, known)
            raise UsageError(
                f"experiments: {EXPERIMENTS}/{name}.yaml: does not exist; nearest: {EXPERIMENTS}/{near}.yaml"
            )


def _check_named(key: str, names: list[str], sections: tuple[Mapping[str, Any], ...]) -> None:
    """Check that each experiment that a key names is to run, by this configuration or by the file without overrides."""
    to_run = sorted({name for section in sections for name in section["experiments"]})
    for name in names:
        if name not in to_run:
            raise UsageError(f"{key}: {name} is not among the experiments; nearest: {nearest(name, to_run)}")


def check_targets(workflow: Any) -> None:
    """Check that each target on the command line has a rule."""
    with in_one_line():
        rules = {rule.name: rule for rule in workflow.rules}
        for target in _targets():
            is_made = target in rules or any(rule.is_producer(target) for rule in rules.values())
            if not is_made and not Path(target).exists():
                shown = nearest(target, [name for name, rule in rules.items() if not rule.has_wildcards()])
                hint = f"nearest: {shown}" if "/" not in target else "`snakemake --list` names the rules"
                raise UsageError(f"{target}: no rule makes this target; {hint}")


def _targets() -> list[str]:
    """Return the targets of Snakemake's command line, which it does not pass on; none if they cannot be parsed."""
    try:
        from snakemake.cli import parse_args

        _, arguments = parse_args(sys.argv[1:])
        return [str(target) for target in arguments.targets or ()]
    except (ImportError, AttributeError, TypeError, ValueError, SystemExit):
        return []
