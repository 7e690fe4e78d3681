"""One job of a training: a numbered folder in `jobs/` of the run folder, and its record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import vclr
from vclr.config import Config, dump_config, read_config
from vclr.errors import UserError
from vclr.files import atomic_path, read_json, write_json
from vclr.tracking.description import training_name
from vclr.tracking.secrets import redact_config

RECORD = "job.json"


@dataclass
class Job:
    """A job that was submitted.

    Its folder holds this record (job.json), the settings (config.yaml), the package as it was (code/, in the first of
    several jobs that continue each other), and the log and outcome of each process.
    """

    folder: Path  # absolute
    code: Path  # absolute
    backend: str
    num_processes: int
    job_id: str = ""  # SLURM's, or a process id; empty while the job is being submitted
    started: float = 0.0  # when the process started, in seconds since 1970: its id may be reused
    resubmissions: int = 0
    failures: int = 0  # since there was progress
    reached: int = 0  # iteration of the last failure

    @property
    def run_folder(self) -> Path:
        """The folder of the training."""
        return self.folder.parent.parent

    @property
    def name(self) -> str:
        """The name of the training: usually its experiment and seed."""
        return training_name(self.run_folder)

    @property
    def config_file(self) -> Path:
        """The file of the job's settings."""
        return self.folder / "config.yaml"

    def log_file(self, rank: int = 0) -> Path:
        """Return the log of a process, under the name that submitit gives it."""
        return self.folder / f"{self.job_id}_{rank}_log.out"

    def config(self) -> Config:
        """Read the job's settings."""
        return read_config(self.config_file)

    def save(self) -> None:
        """Write the record."""
        fields: dict[str, Any] = asdict(self)
        del fields["folder"]
        write_json(self.folder / RECORD, fields | {"code": str(self.code)}, indent=1)


def last_job(jobs: Path) -> Job | None:
    """Return the newest job of a training, or None."""
    folders = [folder for folder in _numbered(jobs) if (folder / RECORD).exists()]
    if not folders:
        return None
    fields = read_json(folders[-1] / RECORD)
    return Job(**{**fields, "folder": folders[-1], "code": Path(fields["code"])})


@contextmanager
def new_job_folder(jobs: Path) -> Iterator[Path]:
    """Make the next folder in `jobs`, and remove it if the block fails: then nothing was submitted.

    Raises:
        UserError: it cannot be written.
    """
    numbers = [int(folder.name) for folder in _numbered(jobs)]
    folder = jobs / str(max(numbers, default=0) + 1)
    try:
        folder.mkdir(parents=True)
        yield folder
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            failures = error.args[0] if isinstance(error, shutil.Error) else ()  # source, target, why
            raise UserError(f"{folder}: cannot be written: {failures[0][2] if failures else error}") from None
        raise


def prepare_job(folder: Path, config: Config, num_processes: int, before: Job | None = None) -> Job:
    """Write the files of a job that is about to be submitted.

    Args:
        folder: the job's, absolute and empty.
        config: the job's settings.
        num_processes: number of processes of the training.
        before: the job that this one continues, with the same code; None takes the package as it is now.
    """
    if before is None:
        job = Job(folder, folder / "code", config.launcher.backend, num_processes)
        source = Path(vclr.__file__).parent
        shutil.copytree(source, job.code / source.name)
    else:
        backend = config.launcher.backend
        job = replace(before, folder=folder, backend=backend, num_processes=num_processes, job_id="", started=0.0)
    with atomic_path(job.config_file) as partial:
        partial.touch(
            mode=0o600 if redact_config(config) != config else 0o666
        )  # a job needs a password of tracking.uri
        partial.write_text(dump_config(config), encoding="utf-8")
    job.save()
    return job


def _numbered(jobs: Path) -> list[Path]:
    """List the folders of jobs, the newest last."""
    folders = jobs.iterdir() if jobs.is_dir() else ()
    return sorted((folder for folder in folders if folder.name.isdigit()), key=lambda folder: int(folder.name))
