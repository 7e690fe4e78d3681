"""What the rules need to know of an experiment: the files that it reads, and a hash of the settings that matter.

Paths are relative to the root of the repository, where Snakemake runs. Imports no torch.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from vclr.config import Config, load_config
from vclr.data import data_sets
from vclr.data.readiness import check_names
from vclr.engine import same_training
from vclr.evaluation import provenance
from vclr.image_folder import each_folder, locate
from vclr.launch import profile
from vclr.launch.cluster import ClusterError, count_gpus
from vclr.views.choice import view_weights
from workflow import mistakes, published


def read_experiment(experiment: str, overrides: Sequence[str] = ()) -> Config:
    """Load configs/experiment/{experiment}.yaml with the overrides of the workflow.

    A mistake in it (no such experiment, a wrong setting) ends the workflow with one line.
    """
    with mistakes.in_one_line():
        return _read_experiment(experiment, tuple(overrides))


@cache
def _read_experiment(experiment: str, overrides: tuple[str, ...]) -> Config:
    config = load_config(f"configs/experiment/{experiment}.yaml", overrides)
    check_names(config)
    for protocol in ("", *config.evaluation.protocols):
        data_sets.test_set(data_sets.with_protocol(config, protocol))
    return config


def training_hash(experiment: str, overrides: Sequence[str] = ()) -> str:
    """Return a hash of the settings that make a training what it is; `vclr launch` compares the same ones."""
    return same_training.training_hash(read_experiment(experiment, overrides))


def evaluation_hash(experiment: str, protocol: str, overrides: Sequence[str] = ()) -> str:
    """Return a hash of the settings that an evaluation by a protocol depends on, beside those of its training."""
    return provenance.settings_hash(with_protocol(experiment, protocol, overrides))


def protocols_of(experiment: str, overrides: Sequence[str] = ()) -> list[str]:
    """List the protocols of an experiment as the wildcard `protocol` has them: "/nonvoc"; [""] if it lists none."""
    return [f"/{name}" for name in read_experiment(experiment, overrides).evaluation.protocols] or [""]


def protocol_option(protocol: str) -> str:
    """Return the option of `vclr evaluate` and `vclr audit` for a wildcard `protocol`."""
    return f" --protocol {protocol[1:]}" if protocol else ""


def with_protocol(experiment: str, protocol: str, overrides: Sequence[str] = ()) -> Config:
    """Load an experiment as it is evaluated for a wildcard `protocol`."""
    return data_sets.with_protocol(read_experiment(experiment, overrides), protocol.removeprefix("/"))


def quote_overrides(overrides: Sequence[str]) -> str:
    """Return the overrides as words of a shell command."""
    return shlex.join(overrides)


def launcher_overrides(threads: int, resources: Mapping[str, Any]) -> str:
    """Return the resources of the rule `train` as settings of `vclr launch`, words of a shell command.

    Where they say nothing of CPUs, the threads of the rule are those of each process.
    """
    own = {"cpus_per_task": threads} if resources.get("cpus_per_task") is None else {}
    return quote_overrides(profile.launcher_overrides({**dict(resources.items()), **own}))


def evaluation_gpus(workflow: Any) -> int:
    """Return how many GPUs a job asks for that evaluates: one, where the profile's partition has any of its type."""
    return min(1, _count_gpus(_of_every_job(workflow, "slurm_partition"), _of_every_job(workflow, "gpu_type")))


def evaluation_gpu_type(workflow: Any) -> str:
    """Return the type of this GPU that the profile asks for; nothing if it names none, or the job asks for no GPU."""
    return _of_every_job(workflow, "gpu_type") if evaluation_gpus(workflow) else ""


def _of_every_job(workflow: Any, resource: str) -> str:
    """Return what the profile says of a resource among its default-resources, which a rule cannot ask for by itself."""
    # Snakemake 7, which Python 3.10 has, keeps them elsewhere; it submits nothing to a cluster.
    resources = getattr(getattr(workflow, "resource_settings", None), "default_resources", None) or {}
    given = resources.get(resource)
    return str(profile.read_value(getattr(given, "raw", given)) or "")


@cache
def _count_gpus(partition: str, gpu_type: str) -> int:
    try:
        return count_gpus(partition, gpu_type)
    except ClusterError:
        return 0


def training_inputs(experiment: str, overrides: Sequence[str] = ()) -> list[str]:
    """List the files that a training reads: annotations, images, views, object proposals, first weights.

    The test set is among them where the training evaluates on its way (`train.eval_period` above 0).
    """
    config = read_experiment(experiment, overrides)
    data = data_sets.training_set(config)
    views = view_weights(config.views, data)
    files = [data_source(path) for path in (data.annotations, *map(str, each_folder(data.images)))]
    files += [_view_source(folder) for view, folder in data.views.items() if view in views]
    files += [path for path in (data.proposals, config.train.init_checkpoint) if path]
    if config.train.eval_period:
        files += evaluation_inputs(experiment, "", overrides)
    return sorted(set(files))


def evaluation_inputs(experiment: str, protocol: str, overrides: Sequence[str] = ()) -> list[str]:
    """List the files that an evaluation by a protocol reads beside the checkpoint: annotations and images."""
    data = data_sets.test_set(with_protocol(experiment, protocol, overrides))
    return sorted({data_source(path) for path in (data.annotations, *map(str, each_folder(data.images)))})


def audited_sets(experiment: str, protocol: str, overrides: Sequence[str] = ()) -> list[str]:
    """List annotations and image folders of an experiment's training set and of the test set of a protocol."""
    config = with_protocol(experiment, protocol, overrides)
    sets = data_sets.training_set(config), data_sets.test_set(config)
    return [str(path) for data_set in sets for path in (data_set.annotations, *each_folder(data_set.images))]


def audit_inputs(experiment: str, protocol: str, overrides: Sequence[str] = ()) -> list[str]:
    """List the files that an audit of leaks reads."""
    return sorted({data_source(path) for path in audited_sets(experiment, protocol, overrides)})


def proposals_of_test_set(experiment: str, protocol: str, overrides: Sequence[str] = ()) -> list[str]:
    """List the object proposals of the test set of a protocol, if the experiment names them."""
    proposals = data_sets.test_set(with_protocol(experiment, protocol, overrides)).proposals
    return [proposals] if proposals else []


def data_source(data: str) -> str:
    """Return the file whose change says that annotations or images changed: of what was fetched, else they themselves.

    Images may be a folder or its zip.
    """
    path = Path(data).as_posix()
    fetched = "data/raw/toy/manifest.json" if path == "data/raw/toy/images" else published.source_of(path)
    return fetched if fetched != path else (locate(path) or Path(path)).as_posix()


def split_inputs(name: str) -> list[str]:
    """List the files that a split of a published data set is made of."""
    recipe = published.recipe_of(name)
    return [published.source_of(recipe.annotations), *([recipe.proposals] if recipe.proposals else [])]


def split_options(name: str) -> str:
    """Return how a split of a published data set is made, as words of `vclr split`."""
    recipe = published.recipe_of(name)
    proposals = f" --proposals {recipe.proposals}" if recipe.proposals else ""
    return f"{recipe.split} --annotations {recipe.annotations}{proposals}"


def _view_source(folder: str) -> str:
    """Return the manifest of a view under data/views, which a rule writes; other folders, and zips, are themselves."""
    path = locate(folder) or Path(folder)
    return (path / "manifest.json" if path.is_relative_to("data/views") and path.suffix != ".zip" else path).as_posix()
