"""What the rules `report` and `summarize_study` say: a part of the configuration, with its experiments and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workflow.experiments import Experiments
from workflow.sources import PARTS


class Reports:
    """The parts of configs/workflow.yaml that compare experiments."""

    def __init__(self, config: Mapping[str, Any], experiments: Experiments) -> None:
        """Take the whole configuration."""
        self._config = config
        self._experiments = experiments
        self._parts = {"all": config} | {name: config[name] for name in PARTS}

    def __getitem__(self, report: str) -> Mapping[str, Any]:
        """Return the part of the configuration that belongs to the report `all` or one of `PARTS`."""
        return self._parts[report]

    def inputs(self, report: str) -> list[str]:
        """List the metrics that a report shows, those of untrained models and of object proposals included."""
        untrained = [name for name in self[report]["experiments"] if name in self._config["untrained"]]
        references = self._for_each_protocol("results/{experiment}/untrained{protocol}/metrics.json", untrained)
        proposals = [
            f"results/{name}/proposals{protocol}/metrics.json"
            for name in untrained
            for protocol in self._experiments.protocols_of(name)
            if self._experiments.proposals_of_test_set(name, protocol)
        ]
        return self.metrics(report) + references + proposals

    def metrics(self, report: str) -> list[str]:
        """List the metrics of every experiment, protocol and seed."""
        chosen = self[report]
        patterns = [f"results/{{experiment}}/seed{seed}{{protocol}}/metrics.json" for seed in chosen["seeds"]]
        return [path for pattern in patterns for path in self._for_each_protocol(pattern, chosen["experiments"])]

    def leaks(self, report: str) -> list[str]:
        """List the audits of every experiment and protocol."""
        return self._for_each_protocol("results/{experiment}/leaks{protocol}.json", self[report]["experiments"])

    def probes(self, report: str) -> list[str]:
        """List the probes of the experiments of a report that are to be probed."""
        chosen = self[report]
        probed = [name for name in chosen["experiments"] if name in self._config["probed"]]
        patterns = [f"results/{{experiment}}/seed{seed}{{protocol}}/probe.json" for seed in chosen["seeds"]]
        return [path for pattern in patterns for path in self._for_each_protocol(pattern, probed)]

    def pairs_option(self, report: str) -> str:
        """Return the option that names the pairs of `compare` whose experiments the report has."""
        names = set(self[report]["experiments"])
        pairs = [":".join(pair) for pair in self._config.get("compare", []) if set(pair) <= names]
        return f"--pairs {','.join(pairs)}" if pairs else ""

    def _for_each_protocol(self, pattern: str, names: Sequence[str]) -> list[str]:
        return [
            pattern.format(experiment=name, protocol=protocol)
            for name in names
            for protocol in self._experiments.protocols_of(name)
        ]
