"""Bring MLflow's store up to date with a run folder: everything once, however often and from wherever it is done.

What the store has is looked up there, so a delivery continues after any failure, in any process, on any machine, and
from a copy of the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.config import Config, read_config
from vclr.errors import UserError, first_line
from vclr.file_lock import lock_file
from vclr.files import read_facts, sha256, write_json
from vclr.tracking.checkpoints import deliver_checkpoint
from vclr.tracking.data_sets import data_sets_of
from vclr.tracking.description import describing_tags, experiment_of, run_name
from vclr.tracking.figures import Result, newest_results, read_results
from vclr.tracking.parent_runs import find_parent, update_parent
from vclr.tracking.points import NewRecords, points_of
from vclr.tracking.portions import all_pages
from vclr.tracking.record import (
    HEARTBEAT,
    IDENTITY,
    KIND,
    MAX_TAG_LENGTH,
    PARENT,
    RunRecord,
    find_experiment,
    find_or_create,
    find_runs,
    open_store,
)
from vclr.tracking.run_files import KILLED, LOCK, PICTURES, RUN_FILE, RUNNING, Attempt, RunFiles
from vclr.tracking.secrets import redact
from vclr.tracking.store import shown_address
from vclr.wording import count_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

DESCRIPTION = ("config.yaml", "environment.json")  # stored as artifacts, as are the files in `tracking/`
CHECKPOINTS = "vclr.checkpoints"  # tag: in which state the checkpoints were stored
FILES = "vclr.files"  # tag: the first digits of the sha256 of each stored file
DIGITS = 8
# What a store answers if another delivery deleted the run, or wrote the same at the same moment.
DISTURBED = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST")
HEARTBEAT_STEP = 30.0  # seconds between two heartbeats in the store


@dataclass
class Delivered:
    """What a delivery to a store did: new points of curves and figures, files, status; what failed, and notes."""

    run_id: str
    status: str
    store: str
    points: int = 0
    files: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Delivery:
    """Deliver one run folder to one store, any number of times; each time only looks at what is new."""

    def __init__(self, run_dir: Path, uri: str, keeps_address: bool = True, may_resume: bool = False) -> None:
        """Name the folder and the store; nothing is read before `deliver`.

        Args:
            run_dir: the run folder.
            uri: the address of the store.
            keeps_address: write it to the run folder, where later evaluations find it.
            may_resume: a training that was killed is going to be continued, so its checkpoints do not count yet.
        """
        self._keeps_address, self._may_resume = keeps_address, may_resume
        self._run_dir = Path(run_dir)
        self._files = RunFiles(self._run_dir)
        self._uri = uri
        self._forget()

    def deliver(self) -> Delivered:
        """Store what is missing. Curves come first; files that cannot be stored are problems, not errors.

        Raises:
            UserError: the folder is no run folder.
            Exception: of MLflow: the store cannot be used. The next call starts with what it has.
        """
        from mlflow.exceptions import MlflowException

        try:
            try:
                return self._deliver()
            except MlflowException as error:
                if error.error_code not in DISTURBED:
                    raise
                self._forget()
                return self._deliver()
        except Exception:
            self._forget()
            raise

    def _forget(self) -> None:
        """Look up again what the store has."""
        self._record: RunRecord | None = None
        self._records = NewRecords(self._run_dir / "metrics.jsonl")
        self._digests: dict[Path, tuple[tuple[int, int], str]] = {}
        self._results: list[Result] | None = None
        self._stored: dict[str, str] = {}  # files, with digests
        self._identity, self._experiment = "", ""
        self._all_layers = self._upload = False

    def _deliver(self) -> Delivered:
        attempts = self._files.attempts()
        if self._record and self._identity != self._files.identity():
            self._forget()  # a new training began in the folder
        record = self._record = self._record or self._open(attempts)
        points = [point for line in self._records.read() for point in points_of(line, self._all_layers)]
        status, ended = self._files.status(float(record.tags.get(HEARTBEAT, 0)))
        done = Delivered(record.id, status, shown_address(self._uri))
        done.points = record.write(points, has_resumed=len(attempts) > 1)
        if damaged := self._records.num_damaged:
            done.notes.append(f"metrics.jsonl: left out, because damaged: {count_of(damaged, 'line')}")
        record.set_tags(_changes(attempts))
        beat = self._files.last_beat()
        is_due = status == RUNNING and beat - float(record.tags.get(HEARTBEAT, 0)) > HEARTBEAT_STEP
        if is_due:
            record.set_tags({HEARTBEAT: f"{beat:.0f}"})
        before = record.status
        record.set_status(status, ended, is_sure=is_due)
        results = read_results(self._files)
        for result in newest_results(results):
            done.points += record.write_figures(result.figures, result.time_ms)
            record.set_tags(result.tags)
        if results != self._results:
            record.add_inputs(result.test_set for result in results)
        if results != self._results or before != status:
            update_parent(record, self._experiment)
        self._results = results
        self._store_files(record, done)
        if status != RUNNING and not (status == KILLED and self._may_resume):
            self._store_checkpoints(record, results, done)
        return done

    def _read_config(self) -> Config:
        path = self._run_dir / "config.yaml"
        if not path.is_file():
            raise UserError(f"{self._run_dir}: is not a run folder (it has no config.yaml)")
        return read_config(path)

    def _open(self, attempts: list[Attempt]) -> RunRecord:
        """Find or create the run, and describe it."""
        config = self._read_config()
        self._experiment, self._all_layers = experiment_of(config), config.tracking.all_layers
        self._upload = config.tracking.log_checkpoint
        client = open_store(self._uri)
        identity = self._files.identity() or self._files.name_run(identity=self._recall_identity(client))
        self._identity = identity
        everywhere = [str(one.experiment_id) for one in all_pages(client.search_experiments)]
        for former, status in self._files.replaced().items():  # nobody else knows them any more
            for run in find_runs(client, everywhere, {IDENTITY: former}):
                if run.info.status == RUNNING:
                    client.set_terminated(run.info.run_id, status)
        begun = find_runs(client, everywhere, {IDENTITY: identity})  # `tracking.experiment` may have changed since
        own = begun[0].info.experiment_id if begun else None
        experiment_id = str(own or find_experiment(client, config.tracking.experiment, self._uri))
        started = attempts[0].started if attempts else (self._run_dir / "config.yaml").stat().st_mtime
        parent = find_parent(client, experiment_id, self._experiment, started)
        record = find_or_create(client, experiment_id, run_name(config), {IDENTITY: identity}, started)
        if self._keeps_address:
            with suppress(OSError):  # a folder of somebody else
                facts = {"run_id": record.id, "uri": shown_address(self._uri)}
                write_json(self._run_dir / RUN_FILE, facts, indent=1)
        environment, hashes = (_read_undamaged(self._run_dir / name) for name in ("environment.json", "data.json"))
        record.set_tags({KIND: "training", PARENT: parent.id})
        record.set_tags(describing_tags(config, hashes, environment))
        record.set_tags({"mlflow.user": (attempts[0].user or None) if attempts else None})
        record.add_params(attempts[0].settings if attempts else {})
        record.add_inputs(data_sets_of(self._files.inputs()))
        return record

    def _recall_identity(self, client: MlflowClient) -> str:
        """Return the identity of a run whose file is damaged, from the store that has it; "" if none is known."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):
            if run_id := str(_read_undamaged(self._run_dir / RUN_FILE).get("run_id", "")):
                return str(client.get_run(run_id).data.tags.get(IDENTITY, ""))
        return ""

    def _store_files(self, record: RunRecord, done: Delivered) -> None:
        stored = self._stored = self._stored or json.loads(record.tags.get(FILES, "{}"))
        for path, folder in self._each_file():
            name = f"{folder}/{path.name}" if folder else path.name
            try:
                digest = self._digest(path)
                if stored.get(name) == digest:
                    continue
                record.store_file(path, folder)
                stored[name] = digest
                _drop_older(stored, folder)
                record.set_tags({FILES: _as_tag(stored)})
                done.files += 1
            except FileNotFoundError:  # replaced or removed meanwhile
                continue
            except Exception as error:
                done.problems.append(f"{name}: {redact(first_line(error))}")
                return  # the others fail too

    def _store_checkpoints(self, record: RunRecord, results: list[Result], done: Delivered) -> None:
        """Store the checkpoints of a training that ended; those that are stored with these results are not read."""
        stored = json.loads(record.tags.get(CHECKPOINTS, "{}"))
        for path in self._files.checkpoints():
            state = _describe_state(path, self._upload, results)
            if stored.get(path.name) == state:
                continue
            try:
                deliver_checkpoint(record, path, results, self._experiment, self._upload)
            except Exception as error:
                done.problems.append(f"{path.name}: {redact(first_line(error))}")
                return
            stored[path.name] = state
            record.set_tags({CHECKPOINTS: json.dumps(stored)})
            done.files += 1

    def _each_file(self) -> Iterator[tuple[Path, str]]:
        """Yield the files to store, each with the folder of its artifact."""
        for name in DESCRIPTION:
            if (self._run_dir / name).is_file():
                yield self._run_dir / name, ""
        newest = max(map(_iteration_of, self._stored), default="")
        for path in sorted(self._files.folder.rglob("*")):
            folder = path.parent.relative_to(self._files.folder).as_posix()
            if "" < _iteration_of(folder) < newest:
                continue  # pictures of an iteration do not change
            if path.is_file() and not path.name.startswith(".") and (folder != "." or path == self._files.code):
                yield path, "" if folder == "." else folder

    def _digest(self, path: Path) -> str:
        stat = path.stat()
        key = (stat.st_mtime_ns, stat.st_size)
        if path not in self._digests or self._digests[path][0] != key:
            self._digests[path] = key, sha256(path)[:DIGITS]
        return self._digests[path][1]


class BusyError(UserError):
    """Another process delivers the folder."""


@contextmanager
def only_delivery(run_dir: Path, timeout: float) -> Iterator[None]:
    """Let no other process deliver this folder during the block.

    Raises:
        BusyError: another process is at it.
    """
    busy = f"{run_dir}: another process is delivering it, probably its training"
    try:
        lock = lock_file(RunFiles(run_dir).folder / LOCK, busy, timeout)
    except UserError:
        raise BusyError(busy) from None
    except OSError:  # a folder of somebody else: deliveries at once do no harm
        yield
        return
    with lock:
        yield


def _describe_state(checkpoint: Path, upload: bool, results: list[Result]) -> str:
    """Return digits that differ if anything is new that MLflow gets of a checkpoint, whose bytes are not read."""
    stat = checkpoint.stat()
    text = f"{stat.st_size} {stat.st_mtime_ns} {upload} {results}"
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _iteration_of(name: str) -> str:
    """Return the iteration, as eight digits, whose pictures are in a folder; "" if it is none of those."""
    found = re.match(rf"{PICTURES}/(\d{{8}})\b", name)
    return found[1] if found else ""


def _drop_older(stored: dict[str, str], folder: str) -> None:
    """Forget the files of earlier iterations than that of a folder: there may be hundreds."""
    newest = _iteration_of(folder)
    for name in [name for name in stored if "" < _iteration_of(name) < newest]:
        del stored[name]


def _read_undamaged(path: Path) -> dict[str, Any]:
    """Read a json object that describes a run; a missing or damaged one holds up no curve, and is empty."""
    with suppress(UserError):
        return read_facts(path)
    return {}


def _as_tag(stored: dict[str, str]) -> str:
    """Return as much of the dict as a tag can hold, the newest entries; files without an entry are stored again."""
    entries = [*stored.items()]
    while len(text := json.dumps(dict(entries))) > MAX_TAG_LENGTH:
        entries = entries[len(entries) // 10 + 1 :]
    return text


def _changes(attempts: list[Attempt]) -> dict[str, Any]:
    """Return the tags that say how often the training was started, in which jobs, and which settings changed."""
    changed: dict[str, list[str]] = {}
    for before, after in zip(attempts, attempts[1:], strict=False):
        for key in sorted(before.settings.keys() | after.settings.keys()):
            value = after.settings.get(key, "default")
            if before.settings.get(key, "default") != value:
                changed.setdefault(key, []).append(f"{value} (attempt {after.number})")
    jobs = dict.fromkeys(attempt.job["id"] for attempt in attempts if "id" in attempt.job)
    tags: dict[str, Any] = {f"changed.{key}": "; ".join(values) for key, values in changed.items()}
    return tags | {"attempts": len(attempts) or None, "slurm.jobs": " ".join(jobs) or None}
