"""What the rules need to know about an experiment: the files that it reads, and a hash of the settings that matter.

Paths of data are relative to the working directory, where Snakemake runs. Imports no torch.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vclr.catalog.data_sets import PROTOCOLS
from vclr.config import Config, DataSetConfig, evaluates_while_training, load_config
from vclr.data import data_sets
from vclr.data.origins import Origins
from vclr.data.readiness import check_names
from vclr.engine import same_training
from vclr.errors import UsageError
from vclr.evaluation import provenance
from vclr.image_folders.open import each_folder
from vclr.model_source import find_folder, list_model_files
from vclr.views.choice import drawn_views
from workflow import mistakes, self_training
from workflow.producers import GENERATED_SETS
from workflow.sources import Sources
from workflow.training_proposals import proposals_overrides


class Experiments:
    """The experiments of configs/experiment/, with the overrides and the data folder of the workflow.

    A mistake in one (no such experiment, a wrong setting) ends the workflow with one line.
    """

    def __init__(
        self,
        sources: Sources,
        overrides: Sequence[str],
        origins: Origins,
        evaluation_files: str = "",
        training_proposals: str = "",
    ) -> None:
        self._sources = sources
        self._origins = origins
        root = [] if origins.root.as_posix() == "data" else [f"data.root={origins.root.as_posix()}"]
        files = [f"evaluation.files={evaluation_files}"] if evaluation_files else []
        self._overrides = [*root, *files, *overrides]
        self._training_proposals = training_proposals
        self._own: dict[str, list[str]] = {}  # by experiment: the overrides of this one alone
        self._read: dict[tuple[str, str], Config] = {}  # by experiment and seed

    def read(self, experiment: str, protocol: str = "", seed: str = "0") -> Config:
        """Load an experiment with the protocol of a wildcard `protocol`.

        The seed only matters to paths that name it. Everything else is that of seed 0, whatever `seed` is.
        """
        if (experiment, seed) not in self._read:
            with mistakes.in_one_line():
                self._read[experiment, seed] = self._load(experiment, seed)
        return data_sets.with_protocol(self._read[experiment, seed], protocol.removeprefix("/"))

    def overrides(self, experiment: str) -> str:
        """Return the settings that every command gets on top of the experiment's own, as words of a shell command."""
        self.read(experiment)
        return shlex.join([*self._overrides, *self._own[experiment]])

    def _load(self, experiment: str, seed: str) -> Config:
        path = self._sources.experiment(experiment)
        overrides = [*self._overrides, f"train.seed={seed}"] if seed != "0" else self._overrides
        config = load_config(path, overrides)
        if own := proposals_overrides(config, self._training_proposals):
            config = load_config(path, [*overrides, *own])
        self._own[experiment] = own
        check_names(config)
        for protocol in ("", *config.evaluation.protocols):
            data_sets.test_set(data_sets.with_protocol(config, protocol))
        return config

    def training_hash(self, experiment: str) -> str:
        """Return a hash of the settings that make a training what it is; `vclr launch` compares the same ones."""
        return same_training.training_hash(self.read(experiment))

    def evaluation_hash(self, experiment: str, protocol: str) -> str:
        """Return a hash of the settings that an evaluation depends on, besides those of its training."""
        return provenance.settings_hash(self.read(experiment, protocol))

    def protocols_of(self, experiment: str) -> list[str]:
        """List the protocols of an experiment as the wildcard `protocol` has them: "/nonvoc"; [""] if it lists none."""
        return [f"/{name}" for name in self.read(experiment).evaluation.protocols] or [""]

    def training_inputs(self, experiment: str, seed: str = "0") -> list[str]:
        """List the files that a training reads: annotations, images, views, object proposals, first weights, backbone.

        The test set is among them if the training evaluates on its way. Paths may name the seed (`${train.seed}`).
        """
        config = self.read(experiment, seed=seed)
        data = data_sets.training_set(config)
        files = self._sources_of(data)
        files += [self._origins.view_source(folder) for folder in _drawn_folders(config).values()]
        files += [path for path in (data.proposals, config.train.init_checkpoint) if path]
        files += _backbone_files(config)
        if evaluates_while_training(config):
            files += self.evaluation_inputs(experiment, "")
        return sorted(set(files))

    def inspected_views(self, experiment: str) -> dict[str, str]:
        """Return the folders of the views that a training draws; none of scenes that are generated with them."""
        generated = [self._origins.root / "views" / name for name in GENERATED_SETS]
        return {
            view: folder
            for view, folder in _drawn_folders(self.read(experiment)).items()
            if not any(Path(folder).is_relative_to(one) for one in generated)
        }

    def drawn_views(self, experiment: str) -> list[str]:
        """List the views that a training draws for student or teacher, those that its loader computes included."""
        config = self.read(experiment)
        return drawn_views(config.views, data_sets.training_set(config))

    def inspection_inputs(self, experiment: str) -> list[str]:
        """List the files that an inspection of the views reads: annotations, images, views."""
        config = self.read(experiment)
        views = [self._origins.view_source(folder) for folder in _drawn_folders(config).values()]
        return sorted({*self._sources_of(data_sets.training_set(config)), *views})

    def inspection(self, experiment: str, checks: Mapping[str, Any]) -> list[str]:
        """List the result of the inspection that a training waits for; empty if its views need none."""
        is_wanted = int(checks["sample"]) > 0 and self.inspected_views(experiment)
        return [f"results/{experiment}/views.json"] if is_wanted else []

    def evaluation_inputs(self, experiment: str, protocol: str) -> list[str]:
        """List the files that an evaluation reads besides the checkpoint: annotations and images."""
        return sorted(set(self._sources_of(data_sets.test_set(self.read(experiment, protocol)))))

    def probe_inputs(self, experiment: str, protocol: str) -> list[str]:
        """List the files that a probe reads besides the checkpoint: those of an evaluation, and the views."""
        if self.read(experiment).detectron2.config:
            mistakes.refuse(UsageError(f"probed: {experiment}: a model of detectron2 has no queries to compare"))
        views = data_sets.test_set(self.read(experiment, protocol)).views
        return self.evaluation_inputs(experiment, protocol) + [self._origins.view_source(one) for one in views.values()]

    def probe_settings(self, experiment: str, protocol: str) -> str:
        """Return what a probe depends on besides its training: the hash of an evaluation, the views and their seed."""
        config = self.read(experiment, protocol)
        return f"{provenance.settings_hash(config)} {config.views.seed} {data_sets.test_set(config).views}"

    def _sources_of(self, data_set: DataSetConfig) -> list[str]:
        return [self._origins.source_of(path) for path in _paths_of(data_set)]

    def audited_sets(self, experiment: str, protocol: str) -> list[str]:
        """List annotations and image folder of the training set and of the test set of an experiment."""
        config = self.read(experiment, protocol)
        sets = data_sets.training_set(config), data_sets.test_set(config)
        return [path for data_set in sets for path in _paths_of(data_set)]

    def audit_inputs(self, experiment: str, protocol: str) -> list[str]:
        """List the files that an audit of leaks reads."""
        return sorted({self._origins.source_of(path) for path in self.audited_sets(experiment, protocol)})

    def comparisons(self, names: Sequence[str]) -> list[str]:
        """List the comparisons of published test files with rebuilt ones for a report on experiments.

        There is one if both jsons are there or will be: the one that is evaluated, and another one that an experiment
        evaluates or that exists. Nothing is fetched for a comparison alone.
        """
        used: dict[str, set[str]] = {}
        for name in names:
            for protocol in self.protocols_of(name):
                if (known := data_sets.known_test_set(self.read(name, protocol))) and known.protocol:
                    used.setdefault(known.protocol, set()).add(known.json)
        root = self._origins.root
        return [
            known.comparison(root).as_posix()
            for known in map(PROTOCOLS.__getitem__, used)
            if known.published
            and all(
                json in used[known.protocol] or (root / json).is_file() for json in (known.json, known.published[1])
            )
        ]

    def first_proposals(self, experiment: str, seed: str, name: str, part: str) -> str:
        """Return the object proposals that the first round of a self-training had; see `self_training`."""
        return self_training.first_proposals(self.read(experiment, seed=seed), name, part)

    def known_annotations(self, experiment: str) -> str:
        """Return the known objects that the first round of a self-training was trained on; see `self_training`."""
        with mistakes.in_one_line():
            return self_training.known_annotations(self.read(experiment), experiment)

    def proposals_of_test_set(self, experiment: str, protocol: str) -> list[str]:
        """List the object proposals of the test set, if the experiment names them."""
        proposals = data_sets.test_set(self.read(experiment, protocol)).proposals
        return [proposals] if proposals else []


def _drawn_folders(config: Config) -> dict[str, str]:
    """Return the folder of each view of a training that is drawn from files."""
    data = data_sets.training_set(config)
    drawn = drawn_views(config.views, data)
    return {view: folder for view, folder in data.views.items() if view in drawn}


def _backbone_files(config: Config) -> list[str]:
    """List the files of the folder that the backbone comes from; none for a model of the hub."""
    source = config.model.backbone.source
    folder = find_folder(source) if source else None
    return [*map(str, list_model_files(folder))] if folder else []


def _paths_of(data_set: DataSetConfig) -> list[str]:
    return [data_set.annotations, *map(str, each_folder(data_set.images))]


def protocol_option(protocol: str) -> str:
    """Return the option of `vclr evaluate`, `vclr probe` and `vclr audit` for a wildcard `protocol`."""
    return f" --protocol {protocol[1:]}" if protocol else ""
