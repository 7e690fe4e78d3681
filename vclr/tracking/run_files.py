"""What a run folder holds for tracking beside its metrics: its identity, its attempts, and whether it still runs.

A training may be stopped, killed and continued any number of times, on any machine; each start is an attempt of the
same run. Imports neither torch nor MLflow.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from vclr.files import atomic_path, write_json

FOLDER = "tracking"  # in the run folder
RESULTS = "results"  # in that one: a json file per evaluation and probe
PICTURES = "pictures"
REPORTS = "reports"  # a folder for each that compares this run with others
RUN_FILE = "mlflow_run.json"  # in the run folder: where its run was stored last, for people and for the report
CODE = "code.diff"  # how the code of the last attempt differs from its git revision

RECORDED = ("started", "settings", "job", "process", "user", "store")  # of an attempt, when it starts
LOCK = ".lock"  # in the folder; held by who delivers it

CHECKPOINTS = ("best.pt", "last.pt")  # in this order: a content that both have is called the best
BEAT_PERIOD = 15.0  # seconds between two signs of life
SILENCE = 90.0  # seconds without one after which a training on another machine counts as killed

SLURM = {
    "id": "SLURM_JOB_ID",
    "name": "SLURM_JOB_NAME",
    "restarts": "SLURM_RESTART_COUNT",
    "nodes": "SLURM_JOB_NODELIST",
}
RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"  # MLflow's words


@dataclass
class Attempt:
    """One start of a training: what it was asked to do, where it ran, and how it ended.

    Attributes:
        number: from 1.
        started: seconds since 1970, as is `ended`; None without an end.
        settings: those that differ from the defaults.
        job: `id`, `name`, `restarts` and `nodes` of its SLURM job, as far as there is one.
        process: identifies the process on its machine, see `_describe_process`.
        user: who started it.
        store: the address of the store, without a password.
        status: FINISHED, FAILED or KILLED; RUNNING if no end was recorded.
    """

    number: int
    started: float
    settings: dict[str, Any] = field(default_factory=dict)
    job: dict[str, str] = field(default_factory=dict)
    process: dict[str, Any] = field(default_factory=dict)
    user: str = ""
    store: str = ""
    status: str = RUNNING
    ended: float | None = None


class RunFiles:
    """Read and write these files. Nothing of them is needed to continue a training."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = Path(run_dir)
        self.folder = self.run_dir / FOLDER
        self.results = self.folder / RESULTS
        self.pictures = self.folder / PICTURES
        self.reports = self.folder / REPORTS
        self.code = self.folder / CODE
        self._identity = self.folder / "run.json"
        self._attempts = self.folder / "attempts.jsonl"
        self._beat = self.folder / "alive.json"

    def identity(self) -> str | None:
        """Return the name that the run has in every store; None if it has none yet."""
        return self._run().get("id")

    def is_of(self, training: str) -> bool:
        """Tell whether the run is of a training with this hash."""
        with suppress(OSError):
            return self._run().get("training") == training
        return False

    def begin_run(self, training: str = "", inputs: Mapping[str, Mapping[str, str]] | None = None) -> str:
        """Remove what an earlier run left, begin one, and return its identity; arguments as of `name_run`."""
        replaced = self.replaced()
        if former := self.identity():
            status = self.status()[0]
            replaced[former] = KILLED if status == RUNNING else status
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.name != LOCK:
                path.rmdir() if path.is_dir() else path.unlink()
        return self.name_run(training, inputs, replaced)

    def replaced(self) -> dict[str, str]:
        """Return the runs that this folder held before, by identity, and how they ended."""
        return dict(self._run().get("replaced", {}))

    def name_run(
        self,
        training: str = "",
        inputs: Mapping[str, Mapping[str, str]] | None = None,
        replaced: Mapping[str, str] | None = None,
        identity: str = "",
    ) -> str:
        """Give the run an identity, and return it.

        Args:
            training: hash of all that its weights depend on.
            inputs: what it reads: by name the `source`, a path, and the `digest`, a hash.
            replaced: what `replaced` is to return.
            identity: the one to give it, if a store knows it already (default: a new one).
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        identity = identity or uuid.uuid4().hex
        content = {"id": identity, "training": training, "inputs": inputs or {}, "replaced": replaced or {}}
        write_json(self._identity, content, indent=1)
        return identity

    def inputs(self) -> dict[str, dict[str, str]]:
        """Return what the training reads, as `begin_run` got it."""
        return dict(self._run().get("inputs", {}))

    def _run(self) -> dict[str, Any]:
        """Return what `name_run` wrote; nothing if it was not called or the file is damaged."""
        try:
            content = json.loads(self._identity.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints that MLflow gets."""
        return [path for name in CHECKPOINTS if (path := self.run_dir / "checkpoints" / name).is_file()]

    def begin_attempt(self, settings: dict[str, Any], store: str = "") -> Attempt:
        """Record that this process starts or continues the training.

        Args:
            settings: those that differ from the defaults.
            store: the address of the store, without a password.
        """
        number = len(self.attempts()) + 1
        started = Attempt(number, time.time(), settings, _describe_job(), _describe_process(), _user_name(), store)
        self._append({"event": "start", "attempt": number, **{key: getattr(started, key) for key in RECORDED}})
        self.beat()
        return started

    def end_attempt(self, number: int, status: str, is_known: bool = True) -> None:
        """Record how an attempt ended.

        Args:
            number: of the attempt.
            status: FINISHED, FAILED or KILLED.
            is_known: the training says so itself. Otherwise it only counts if the training has said nothing.
        """
        ended = next((attempt for attempt in self.attempts() if attempt.number == number), None)
        if ended and (is_known or ended.ended is None):
            self._append({"event": "end", "attempt": number, "time": time.time(), "status": status})

    def attempts(self) -> list[Attempt]:
        """Return the attempts in order. A line that a killed process or a full disk cut off does not count."""
        found: dict[int, Attempt] = {}
        with suppress(FileNotFoundError):
            for line in self._attempts.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError, msgspec.ValidationError):
                    record = json.loads(line)
                    number = int(record["attempt"])
                    if record["event"] == "start":
                        known = {"number": number, **{key: record[key] for key in RECORDED}}
                        found[number] = msgspec.convert(known, Attempt)
                    else:
                        found[number].status, found[number].ended = str(record["status"]), float(record["time"])
        return [found[number] for number in sorted(found)]

    def beat(self) -> None:
        """Give a sign of life of the training."""
        with atomic_path(self._beat) as partial:
            partial.write_text(f'{{"time": {time.time():.1f}}}\n', encoding="utf-8")

    def last_beat(self) -> float:
        """Return when the last sign of life was given, in seconds since 1970; 0 if there is none."""
        with suppress(OSError, ValueError, KeyError):
            return float(json.loads(self._beat.read_text(encoding="utf-8"))["time"])
        return 0.0

    def status(self, seen_elsewhere: float = 0.0) -> tuple[str, float | None]:
        """Return RUNNING, FINISHED, FAILED or KILLED, and when the training ended, as far as that is known.

        A training without an end is running while its process is there. On other machines nobody can look for it, so
        there it runs as long as it gives signs of life.

        Args:
            seen_elsewhere: when somebody last saw it running, in seconds since 1970, for a copy of its folder.
        """
        attempts = self.attempts()
        is_done = (self.run_dir / "DONE").exists()
        if not attempts or attempts[-1].ended is not None:
            last = attempts[-1] if attempts else None
            status = FINISHED if is_done else last.status if last else KILLED
            return status, last.ended if last else None
        is_there = _is_there(attempts[-1].process)
        seen = max(self.last_beat(), seen_elsewhere)
        if is_there or (is_there is None and time.time() - seen < SILENCE):
            return RUNNING, None
        return (FINISHED if is_done else KILLED), seen or None

    def _append(self, record: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._attempts.open("ab+") as file:
            if file.tell() and not _ends_with_newline(self._attempts):
                file.write(b"\n")  # after a line that was cut off
            file.write(json.dumps(record).encode() + b"\n")


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _describe_job() -> dict[str, str]:
    return {key: os.environ[name] for key, name in SLURM.items() if os.environ.get(name)}


def _describe_process() -> dict[str, Any]:
    """Describe this process so that its machine can tell later whether it is there; others cannot tell."""
    return {"pid": os.getpid(), "began": _began(os.getpid()), "machine": _name_machine()}


def _is_there(process: dict[str, Any]) -> bool | None:
    """Tell whether a process is there; None if it belongs to another machine."""
    if not process or process["machine"] != _name_machine():
        return None
    return _began(process["pid"]) == process["began"]


def _began(pid: int) -> int | None:
    """Return when a process began, in ticks since its machine started; None if it is not there or has ended."""
    import psutil

    with suppress(OSError, IndexError, ValueError):
        # Not psutil's time, which jumps with the clock of the machine.
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        state, *fields = status.rpartition(")")[2].split()
        return None if state == "Z" else int(fields[18])
    with suppress(psutil.Error):  # without /proc
        return None if Path("/proc/self").exists() else round(psutil.Process(pid).create_time())
    return None


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user id of a container may have no name
        return ""


def _name_machine() -> str:
    """Name the machine since its last start, and the space of process numbers, which containers have of their own."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
