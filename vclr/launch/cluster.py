"""Ask SLURM about jobs and cancel them, by its own commands. Works without accounting, and imports no torch."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from vclr.errors import UserError

# States in which a job waits to run, runs, or is being requeued; every other state is its end.
ACTIVE = {
    *("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"),
    *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESIZING", "RESV_DEL_HOLD"),
}
UNKNOWN = "UNKNOWN"  # SLURM does not answer
GONE = "GONE"  # SLURM answers, but does not know the job (any more)
ANSWER_SECONDS = 60.0


class ClusterError(UserError):
    """Report the error of a SLURM command."""


@dataclass(frozen=True)
class JobState:
    """What SLURM reports about a job: its state, why it waits, its exit status, restarts and nodes."""

    name: str
    reason: str = ""
    exit_status: str = ""
    restarts: int = 0
    nodes: str = ""
    used_up_time: bool = False  # it reached its time limit: SLURM kills its steps, and may call the job FAILED

    @property
    def has_ended(self) -> bool:
        """Whether SLURM considers the job over for good."""
        return self.name not in ACTIVE and self.name != UNKNOWN


def ask(*command: str) -> str:
    """Run a command of SLURM and return what it prints.

    Raises:
        ClusterError: it is missing, times out or fails; one line.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except FileNotFoundError:
        raise ClusterError(f"{command[0]}: not found; is this a machine of a SLURM cluster?") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{command[0]}: no answer in {ANSWER_SECONDS:.0f} s") from None
    if done.returncode:
        raise ClusterError(f"{command[0]}: {complaint(done.stderr)}")
    return done.stdout


def complaint(text: str) -> str:
    """Return in one line what a command of SLURM printed as its error."""
    lines = [re.sub(r"^\w+: (error: |fatal: )?", "", line.strip()) for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines)) or "failed without an error message"


def job_state(job_id: str) -> JobState:
    """Return the state of a job from the controller, or from the accounting if the controller has forgotten it."""
    try:
        return read_state(ask("scontrol", "--oneliner", "show", "job", job_id))
    except ClusterError as error:
        if "Invalid job id" not in str(error):
            return JobState(UNKNOWN, str(error))
    try:
        line = ask("sacct", "-X", "-n", "-P", "-j", job_id, "-o", "State,ExitCode,NodeList,Elapsed,Timelimit").strip()
    except ClusterError:
        return JobState(GONE)
    if not line:
        return JobState(GONE)
    state, exit_status, nodes, *times = line.splitlines()[-1].split("|")
    name = state.split()[0]  # CANCELLED by 1000
    return JobState(name, exit_status=exit_status, nodes=nodes, used_up_time=_reached(*times))


def read_state(text: str) -> JobState:
    """Read what `scontrol --oneliner show job` prints."""
    fields = dict(re.findall(r"(\w+)=(\S*)", text))
    return JobState(
        fields.get("JobState", UNKNOWN),
        fields.get("Reason", ""),
        fields.get("ExitCode", ""),
        int(fields.get("Restarts", 0)),
        fields.get("NodeList", ""),
        _reached(fields.get("RunTime", ""), fields.get("TimeLimit", "")),
    )


def _reached(elapsed: str, limit: str) -> bool:
    """Compare two durations as SLURM writes them, [days-]hours:minutes:seconds; a limit may be UNLIMITED."""
    seconds = []
    for text in (elapsed, limit):
        found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
        if found is None:
            return False
        days, hours, minutes, rest = (int(number or 0) for number in found.groups())
        seconds.append(((days * 24 + hours) * 60 + minutes) * 60 + rest)
    return seconds[0] >= seconds[1]


def find_job(comment: str) -> str | None:
    """Return the id of the user's job with a comment, if SLURM still knows it."""
    for line in ask("squeue", "--me", "--noheader", "--states=all", "--format=%A|%k").splitlines():
        job_id, _, text = line.strip().partition("|")
        if text == comment:
            return job_id
    return None


def cancel_job(job_id: str) -> None:
    """Cancel a job: its processes get SIGTERM, and after the cluster's KillWait SIGKILL."""
    ask("scancel", job_id)


def count_gpus(partition: str = "", gpu_type: str = "") -> int:
    """Return the largest number of GPUs (of a type) on a node of a partition; 0 without SLURM.

    Without a name, the partition is the cluster's default one.
    """
    if shutil.which("sinfo") is None:
        return 0
    choice = [f"--partition={partition}"] if partition else []
    wanted = rf"gpu:{re.escape(gpu_type)}:(\d+)" if gpu_type else r"gpu(?::[\w.-]+)?:(\d+)"
    counts = [0]
    for line in ask("sinfo", "--noheader", "--format=%P|%G", *choice).splitlines():
        name, _, resources = line.strip().partition("|")
        if partition or name.endswith("*"):
            counts += [sum(map(int, re.findall(wanted, resources)))]
    return max(counts)
