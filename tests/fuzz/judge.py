"""Run a command on hostile input in this process, and judge how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from PIL import Image

from vclr import cli

CPU_SECONDS = 30.0  # of one command; a quiet machine takes a tenth of one for nearly all of them
MEMORY_GIB = 1.0  # by which one command may raise the most that this process ever took


@dataclass
class Trial:
    """A command on hostile input.

    Attributes:
        arguments: of `vclr`; or what is called in its place, for a part of a command.
        names: words of which an error has to hold one: the hostile file's name, say.
        writes: what the command may write.
        check: finds silent wrong results where the command ends well; takes what was returned or printed.
        reports: the command prints findings and ends with 1, as the doctor does.
        may_leave: files may stay behind an error, as those of the photos before the hostile one.
    """

    arguments: list[str] | Callable[[], Any]
    names: tuple[str, ...]
    writes: tuple[Path, ...] = ()
    check: Callable[[Any], None] | None = None
    reports: bool = False
    may_leave: bool = False


@dataclass
class Ending:
    """How a command ended: its exit code, what it printed, and what is wrong with that."""

    exit_code: int | None
    error: str
    result: Any
    faults: list[str] = field(default_factory=list)


class OverTimeError(BaseException):
    """Report that a command took too long; nothing catches it by mistake."""


def judge(trial: Trial, folder: Path) -> Ending:
    """Run a command in a folder and list what is wrong with how it ended.

    Args:
        trial: the command.
        folder: holds its input and its output, and what it must not touch.
    """
    before = _list_files(folder, trial.writes)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # of large photos, which are read
        ending = _run(trial, folder)
    faults = ending.faults
    after = _list_files(folder, trial.writes)
    changed = sorted({*before, *after} - {path for path in before if before[path] == after.get(path)})
    faults += [f"touched {path}" for path in changed]
    faults += [f"left {path}" for path in folder.rglob(".*.partial")]
    # What numpy warns of is a number that is none: the result is wrong, or nobody knows that it is right.
    faults += [f"warned of {one.message}" for one in warned if issubclass(one.category, RuntimeWarning)]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 2**20
    if grown > MEMORY_GIB:
        faults.append(f"took {grown:.1f} GiB of memory")
    if ending.exit_code in (1, 2) and not trial.reports:
        faults += _judge_error(ending.error, trial, folder)
    elif ending.exit_code == 0 and trial.check is not None and not faults:
        try:
            trial.check(ending.result)
        except Exception:
            faults.append(f"is silently wrong: {traceback.format_exc(limit=-3)}")
    return ending


def judge_apart(trials: list[Trial], folder: Path) -> list[str]:
    """Judge commands in a fork of this process, which may crash; return all faults."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's, of forks beside threads: none of them does anything meanwhile
        child = os.fork()
    if not child:
        with os.fdopen(write, "w") as pipe:
            try:
                json.dump(judge_all(trials, folder), pipe)
            except BaseException:
                json.dump([traceback.format_exc()], pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return [f"died of {signal.Signals(os.WTERMSIG(status)).name}"]
    faults: list[str] = json.loads(said)
    return faults


def judge_all(trials: list[Trial], folder: Path) -> list[str]:
    """Judge commands one after another, each with an empty place for its output; return all faults."""
    faults = []
    for trial in trials:
        for place in trial.writes:
            shutil.rmtree(place, ignore_errors=True)
        called = "the loader" if callable(trial.arguments) else "vclr " + " ".join(trial.arguments[:2])
        faults += [f"{called}: {fault}" for fault in judge(trial, folder).faults]
    return faults


def _run(trial: Trial, folder: Path) -> Ending:
    said, failed = io.StringIO(), io.StringIO()
    ending = Ending(None, "", None)
    arguments, home = sys.argv, Path.cwd()
    try:
        os.chdir(folder)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(failed), _time_limit(CPU_SECONDS):
            if callable(trial.arguments):
                ending.result = _call(trial.arguments)
            else:
                sys.argv = ["vclr", *trial.arguments]
                cli.main()
        ending.exit_code = 0
    except SystemExit as told:
        ending.exit_code = told.code if isinstance(told.code, int) else int(told.code is not None)
    except OverTimeError:
        ending.faults.append(f"took more than {CPU_SECONDS:g} s")
    except BaseException as error:
        ending.faults.append(f"ended in a traceback: {type(error).__name__}: {_place(error)}: {str(error)[:200]}")
    finally:
        os.chdir(home)
        sys.argv = arguments
    if not callable(trial.arguments):
        ending.result = said.getvalue()
    ending.error = failed.getvalue()
    if ending.exit_code not in (None, 0, 1, 2):
        ending.faults.append(f"ended with {ending.exit_code}")
    if ending.exit_code == 2 and trial.reports:
        ending.faults.append(f"is a misuse to the doctor: {ending.error}")
    return ending


def _call(function: Callable[[], Any]) -> Any:
    """Call what stands for a part of a command, and end as the command line does."""
    from vclr.errors import explain

    try:
        return function()
    except Exception as error:
        explanation = explain(error)
        if explanation is None:
            raise
        print(f"vclr: {explanation[0]}", file=sys.stderr)
        sys.exit(explanation[1])


def _judge_error(text: str, trial: Trial, folder: Path) -> list[str]:
    """Return what is wrong with an error: it must be one line, and name what is at fault."""
    lines = [line for line in text.split("\n") if line.startswith("vclr: ")]
    faults = []
    if len(lines) != 1 or not text.rstrip("\n").endswith(lines[0]):
        faults.append(f"did not end with one line: {text[-500:]!r}")
    elif not any(name in lines[0] for name in trial.names):
        faults.append(f"names none of {', '.join(trial.names)}: {lines[0][:300]}")
    elif len(lines[0]) > 2000:
        faults.append(f"says a line of {len(lines[0])} characters: {lines[0][:200]}")
    elif not lines[0].isprintable():
        faults.append(f"says what no terminal prints: {lines[0][:300]!r}")
    if not trial.may_leave:
        written = [path for root in trial.writes for path in (root, *root.rglob("*")) if path.is_file()]
        # The results of sound photos are kept for the next start, out of sight.
        written = [path for path in written if not any(parent.name.endswith(".work") for parent in path.parents)]
        faults += [f"failed, but wrote {path.relative_to(folder)}" for path in written]
    return faults


def _place(error: BaseException) -> str:
    """Return the deepest line of the package, or of the whole traceback, at which an error came."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/vclr/" in frame.filename]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).as_posix().rpartition('/vclr/')[2]}:{frame.lineno} in {frame.name}"


def _list_files(folder: Path, writable: tuple[Path, ...]) -> dict[str, tuple[int, int]]:
    """Return size and time of each file of a folder, but of those that a command may write."""
    found = {}
    for path in folder.rglob("*"):
        if not any(path == place or place in path.parents for place in writable) and not path.is_dir():
            facts = path.lstat()
            found[path.relative_to(folder).as_posix()] = facts.st_size, facts.st_mtime_ns
    return found


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """End a block that takes too much time of the processor, by which other work on the machine counts for nothing."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OverTimeError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
