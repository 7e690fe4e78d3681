"""What each process of a job does: join the others, train, and record the outcome."""

from __future__ import annotations

import errno
import logging
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vclr.config import load_config
from vclr.errors import explain
from vclr.files import read_json, write_json
from vclr.processes import torch_environment
from vclr.progress import start_logging

if TYPE_CHECKING:
    from submitit.helpers import TorchDistributedEnvironment

DONE = "done"
STOPPED = "stopped"  # by a signal, with everything saved
REFUSED = "refused"  # because it would fail again: settings, data, a full disk
LOST = "lost"  # another process ended first
TOLD = "told"  # another process failed first, and said why
CRASHED = "crashed"


@dataclass
class Outcome:
    """How one process of a job ended."""

    kind: str
    message: str
    exit_code: int
    host: str


@dataclass
class TrainingProcess:
    """Called by submitit in every process of a job, which starts in the folder of its code.

    Python looks for packages first in the folder in which it starts.
    """

    job_folder: str
    working_folder: str  # the folder that paths in the settings are relative to
    visible_devices: str | None  # submitit's local jobs see no GPU, or all
    backend: str

    def __call__(self) -> None:
        """Train, and exit with the training's exit code."""
        os.chdir(self.working_folder)
        rank = self._join()
        note = outcome_file(Path(self.job_folder), rank)
        note.unlink(missing_ok=True)  # of a requeued job that starts again
        start_logging()
        logging.getLogger("submitit").propagate = False  # it has a handler of its own
        from vclr.engine.ending import leaving_at_once
        from vclr.engine.train import train

        with leaving_at_once(has_own_log=True):
            try:
                train(load_config(Path(self.job_folder) / "config.yaml"), resume=True, unattended=True)
            except BaseException as error:
                self._note_failure(note, error)
                raise
        write_json(note, asdict(Outcome(DONE, "", 0, platform.node())))

    def _note_failure(self, note: Path, error: BaseException) -> None:
        """Record the outcome, and exit with one line in the log; a defect is left to show its traceback."""
        outcome = _outcome_of(error)
        try:
            write_json(note, asdict(outcome))
        except OSError as failed:
            print(f"vclr: {note}: {failed.strerror}", file=sys.stderr)
        if explain(error) is not None:
            print(f"vclr: {outcome.message}", file=sys.stderr)
            sys.stderr.flush()
            raise SystemExit(outcome.exit_code) from None

    def _join(self) -> int:
        """Set the environment by which torch finds the other processes; return the rank of this one."""
        environment = other_processes()
        if self.backend != "slurm":
            environment.master_addr = "127.0.0.1"  # not every laptop can resolve its own name
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            if self.visible_devices is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = self.visible_devices
        os.environ.update(torch_environment())
        environment.export(set_cuda_visible_devices=False, overwrite=True)
        return int(environment.rank)


def other_processes() -> TorchDistributedEnvironment:
    """Return what submitit knows about the processes of this job: their number and the address of the first."""
    from submitit.helpers import TorchDistributedEnvironment

    os.environ.pop("MASTER_PORT", None)  # of the job that submitted this one
    return TorchDistributedEnvironment()


def outcome_file(job_folder: Path, rank: int) -> Path:
    """Return the file in which a process records how it ended."""
    return job_folder / f"outcome{rank}.json"


def read_outcomes(job_folder: Path, num_processes: int) -> dict[int, Outcome]:
    """Return the outcomes that the processes of a job have recorded so far, by rank."""
    notes = {rank: outcome_file(job_folder, rank) for rank in range(num_processes)}
    return {rank: Outcome(**read_json(note)) for rank, note in notes.items() if note.exists()}


def _outcome_of(error: BaseException) -> Outcome:
    from vclr.engine.ending import CollectiveError, LostProcessError, describe
    from vclr.engine.signals import StoppedError

    message, exit_code = describe(error)
    kind = REFUSED if explain(error) else CRASHED
    if isinstance(error, SystemExit):  # ended by the first process, which says why
        kind = LOST
    elif isinstance(error, StoppedError):
        kind = STOPPED
    elif isinstance(error, LostProcessError):
        kind = TOLD if error.cause else LOST
    elif isinstance(error, CollectiveError):
        kind = CRASHED  # usually the network
    elif isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        kind = CRASHED  # a network disk may be back in a minute
    return Outcome(kind, message, exit_code, platform.node())
