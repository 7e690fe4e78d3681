"""Run Snakemake with its log in a file and report progress in a few lines: `python -m workflow.follow TARGET ...`.

The arguments are those of Snakemake; the first one is the target. The log, which includes the output of the jobs, is
`logs/TARGET.log`. If Snakemake fails, its errors or else the end of the log are shown. The exit code is Snakemake's.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

LAST_LINES = 25  # of the log, printed after a failure if no error of `vclr` explains it
SECONDS_BETWEEN_LINES = 60.0  # about a training
NOTHING = "Nothing to be done"


def follow(arguments: list[str]) -> int:
    """Run `snakemake ARGUMENTS`, print its progress, and return its exit code."""
    log = Path("logs") / f"{arguments[0]}.log"
    log.parent.mkdir(exist_ok=True)
    print(f"{arguments[0]}: Snakemake's log is {log}", flush=True)
    command = [sys.executable, "-m", "snakemake", *arguments]
    with log.open("w", encoding="utf-8") as file:
        # Ctrl-C also reaches Snakemake, which shuts down in order; this program waits and keeps reading.
        interrupts: list[int] = []
        signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
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
    if code and interrupts:
        print(f"{arguments[0]}: interrupted; run the same command again to continue", file=sys.stderr)
    elif code:
        print("\n".join(find_errors(log.read_text(encoding="utf-8").splitlines())), file=sys.stderr)
        print(f"{arguments[0]}: failed; the whole log is {log}", file=sys.stderr)
    return 128 - code if code < 0 else code


def find_errors(lines: list[str]) -> list[str]:
    """Return the distinct one-line errors of `vclr` in a log, or its last lines if there are none."""
    errors = [line for line in lines if line.startswith("vclr: ")]
    return list(dict.fromkeys(errors)) or lines[-LAST_LINES:]


def describe_progress(lines: Iterable[str]) -> Iterator[str]:
    """Yield a line for each job that has finished or failed, and occasionally one about a training.

    Args:
        lines: the log of Snakemake and the jobs. Each job has its rule first, then its number, then its wildcards.
    """
    names: dict[str, str] = {}  # by the number of the job
    failed: set[str] = set()  # jobs; Snakemake reports each more than once
    rule = job = finished = ""
    is_error = False
    said = time.monotonic()
    for line in lines:
        if match := re.match(r"(?:local)?(?:rule|checkpoint) (\w+):", line):
            rule, is_error = match[1], False
        elif match := re.match(r"Error in rule (\w+)", line):
            rule, is_error = match[1], True
        elif match := re.match(r" +jobid: (\d+)", line):
            job = match[1]
            names.setdefault(job, rule)
        elif match := re.match(r" +wildcards: (.*)", line):
            names[job] = f"{rule} {describe_wildcards(match[1])}"
        elif (match := re.match(r" +log: (\S+) \(check", line)) and is_error and job not in failed:
            failed.add(job)
            yield f"{names[job]}: failed; its log is {match[1]}"
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


def describe_wildcards(text: str) -> str:
    """Return the values of `experiment=demo, seed=0, protocol=` as `demo seed 0`."""
    values = re.findall(r"(\w+)=([^,\s]+)", text)
    return " ".join(f"seed {value}" if name == "seed" else value for name, value in values)


if __name__ == "__main__":
    sys.exit(follow(sys.argv[1:]))
