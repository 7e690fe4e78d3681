"""Render a view with several processes, one per GPU, each of which renders a shard; join the shards at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from vclr.files import read_json
from vclr.launch.spawn import check_gpus, run_commands
from vclr.shards import Shard
from vclr.views.write import check_output, join_views

# Options of the command that each process gets in its own way.
OWN = ("--num-gpus", "--output")
OWN_FLAGS = ("--overwrite",)


def render_with_processes(
    arguments: list[str], images: Path, output: Path, num_processes: int, device: str, overwrite: bool
) -> int:
    """Render a view of a folder of photos as `vclr ARGUMENTS` would with one process; return the exit code.

    The shards lie in `.OUTPUT.shards` beside the output until all are finished. The same command continues there after
    an interruption, if it has the same number of processes.
    """
    check_gpus(num_processes, device, "--device ")
    check_output(output, "photos", [images], overwrite)
    work = output.absolute().with_name(f".{output.name}.shards")
    shards = [Shard(number, num_processes) for number in range(1, num_processes + 1)]
    folders = [work / f"{shard.number}of{shard.count}" for shard in shards]
    shared = list(_without_own(arguments))
    commands = [
        [*shared, "--output", str(folder), "--shard", str(shard), "--keep-work", "--overwrite"]
        + ["--quiet"] * (shard.number > 1 and "--quiet" not in shared)
        for folder, shard in zip(folders, shards, strict=True)
    ]
    if code := run_commands(commands):
        return code
    manifest = read_json(join_views(folders, output, overwrite))
    if not manifest.get("failed"):  # the next command tries those again, and verifies the others
        shutil.rmtree(work)
    return 0


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
