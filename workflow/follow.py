"""Run Snakemake with its log in a file, and say in a few lines how far it is: `python -m workflow.follow TARGET ...`.

The arguments are Snakemake's; the first one is the target, and `logs/TARGET.log` the file. What the jobs themselves log
is in it too. If Snakemake fails, the end of the file is shown, and its exit code is that of this program.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

LAST_LINES = 25  # of the log, shown after a failure
SECONDS_BETWEEN_LINES = 60.0  # of one training
NOTHING = "Nothing to be done"


def follow(arguments: list[str]) -> int:
    """Run `snakemake ARGUMENTS`, print its progress, and return its exit code."""
    log = Path("logs") / f"{arguments[0]}.log"
    log.parent.mkdir(exist_ok=True)
    print(f"{arguments[0]}: Snakemake's log is {log}", flush=True)
    command = [sys.executable, "-m", "snakemake", *arguments]
    with log.open("w", encoding="utf-8") as file:
        # Ctrl-C reaches Snakemake too, which ends in order; this program waits for it and reads along.
        signal.signal(signal.SIGINT, lambda number, frame: None)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace"
        )
        assert process.stdout is not None

        def copied(lines: Iterable[str]) -> Iterator[str]:
            for line in lines:
                file.write(line)
                file.flush()
                yield line

        for line in describe_progress(copied(process.stdout)):
            print(line, flush=True)
    code = process.wait()
    if code:
        lines = log.read_text(encoding="utf-8").splitlines()
        print("\n".join(lines[-LAST_LINES:]), file=sys.stderr)
        print(f"{arguments[0]}: failed; the whole log is {log}", file=sys.stderr)
    return 128 - code if code < 0 else code


def describe_progress(lines: Iterable[str]) -> Iterator[str]:
    """Yield a line for each finished job and now and then one for a training, of what Snakemake and the jobs log."""
    names: dict[str, str] = {}  # by the number of the job
    rule = wildcards = finished = ""
    said = time.monotonic()
    for line in lines:
        if match := re.match(r"(?:local)?(?:rule|checkpoint) (\w+):", line):
            rule, wildcards = match[1], ""
        elif match := re.match(r" +wildcards: (.*)", line):
            wildcards = " ".join(re.findall(r"=([^,\s]+)", match[1]))
        elif match := re.match(r" +jobid: (\d+)", line):
            names.setdefault(match[1], f"{rule} {wildcards}".strip())
        elif match := re.match(r"Finished job(?:id:)? (\d+)", line):
            finished = names.get(match[1], "")
        elif match := re.match(r"(\d+) of (\d+) steps \(\d+%\) done", line):
            yield f"{match[1]:>3} of {match[2]}: {finished}"
            said = time.monotonic()
        elif match := re.match(r"iteration (\d+)/(\d+) .*?(\d+ min left)", line):
            if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
                yield f"           training: iteration {match[1]} of {match[2]}, {match[3]}"
                said = time.monotonic()
        elif line.startswith(NOTHING):
            yield line.strip()


if __name__ == "__main__":
    sys.exit(follow(sys.argv[1:]))
