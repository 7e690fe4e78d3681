"""Make views or proposals with several processes, one per GPU, each of a shard; join the shards at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from vclr.files import read_json
from vclr.launch.spawn import check_gpus, run_commands
from vclr.object_proposals.proposals_file import read_info
from vclr.object_proposals.write import join_proposals
from vclr.shards import Shard
from vclr.views.folder_checks import check_output, inputs_of
from vclr.views.renderer import RenderOptions
from vclr.views.write import join_views

# Options of the command that each process gets in its own way.
OWN = ("--num-gpus", "--output")
OWN_FLAGS = ("--overwrite",)


def render_with_processes(
    arguments: list[str], images: Path, output: Path, num_processes: int, options: RenderOptions, overwrite: bool
) -> int:
    """Render a view of a folder of photos as `vclr ARGUMENTS` would with one process; return the exit code.

    The shards lie in `.OUTPUT.shards` beside the output until all are finished. The same command continues there after
    an interruption, if it has the same number of processes.
    """
    check_gpus(num_processes, options.device, "--device ")
    check_output(output, inputs_of(images, options), overwrite)
    work = output.absolute().with_name(f".{output.name}.shards")
    folders = _name_shards(work, num_processes)
    if code := _run_shards(arguments, folders, ["--keep-work", "--overwrite"]):
        return code
    manifest = read_json(join_views(folders, output, overwrite))
    if not manifest.get("failed"):  # the next command tries those again, and verifies the others
        shutil.rmtree(work)
    return 0


def propose_with_processes(arguments: list[str], output: Path, num_processes: int, device: str) -> int:
    """Propose objects as `vclr ARGUMENTS` would with one process; return the exit code.

    As in `render_with_processes`, the shards lie beside the output until all are finished.
    """
    check_gpus(num_processes, device, "--device ")
    work = output.absolute().with_name(f".{output.name}.shards")
    parts = _name_shards(work, num_processes, ".json")
    if code := _run_shards(arguments, parts, ["--keep-work"]):
        return code
    join_proposals(parts, output)
    if not read_info(output).get("failed"):
        shutil.rmtree(work)
    return 0


def _name_shards(work: Path, count: int, suffix: str = "") -> list[Path]:
    return [work / f"{number}of{count}{suffix}" for number in range(1, count + 1)]


def _run_shards(arguments: list[str], outputs: list[Path], options: list[str]) -> int:
    """Run `vclr ARGUMENTS OPTIONS` for each shard; return the exit code."""
    shared = list(_without_own(arguments))
    shards = [Shard(number, len(outputs)) for number in range(1, len(outputs) + 1)]
    return run_commands(
        [
            [*shared, "--output", str(output), "--shard", str(shard), *options]
            + ["--quiet"] * (shard.number > 1 and "--quiet" not in shared)
            for output, shard in zip(outputs, shards, strict=True)
        ]
    )


def _without_own(arguments: list[str]) -> Iterator[str]:
    """Yield the arguments of a command without the options that differ from process to process."""
    skips = False
    for argument in arguments:
        if skips:
            skips = False
        elif argument in OWN:
            skips = True
        elif argument not in OWN_FLAGS and not argument.startswith(tuple(f"{option}=" for option in OWN)):
            yield argument
