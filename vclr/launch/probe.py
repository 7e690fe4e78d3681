"""Probe one node of a cluster. Started by `vclr doctor slurm` as a job with one process per node."""

from __future__ import annotations

import platform
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.file_lock import try_lock
from vclr.files import write_json
from vclr.launch.process import other_processes

if TYPE_CHECKING:
    from submitit.helpers import TorchDistributedEnvironment

# Where data and weights come from.
HOSTS = ("images.cocodataset.org", "huggingface.co", "dl.fbaipublicfiles.com")
CONNECT_SECONDS = 5.0
MEETING_SECONDS = 30.0


@dataclass
class Probe:
    """Called by submitit on each node; writes what it finds to `found<rank>.json` in the folder."""

    folder: str
    word: str  # content of the file `word`, if this node sees the same folder

    def __call__(self) -> None:
        """Probe the node."""
        processes = other_processes()
        found: dict[str, Any] = {"host": platform.node(), "python": sys.executable}
        found["meets"] = _meet(processes)
        found["reaches"] = [host for host in HOSTS if _connect(host, 443)]
        word = Path(self.folder, "word")
        found["shares"] = word.is_file() and word.read_text(encoding="utf-8") == self.word
        found["locks"] = _is_locked(Path(self.folder, "lock"))
        try:
            import torch

            found["torch"] = torch.__version__
            found["gpus"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        except ImportError as error:
            found["torch"] = f"cannot be imported: {error}"
        write_json(Path(self.folder, f"found{processes.rank}.json"), found)


def _meet(processes: TorchDistributedEnvironment) -> bool:
    """Tell whether the nodes reach the first one, under the name and port that a training would use."""
    address = (processes.master_addr, processes.master_port)
    if processes.rank:
        end = time.monotonic() + MEETING_SECONDS
        while not (met := _connect(*address)) and time.monotonic() < end:
            time.sleep(0.5)  # the first node may not be listening yet
        return met
    with socket.create_server(("", processes.master_port)) as server:
        server.settimeout(MEETING_SECONDS)
        try:
            for _ in range(processes.world_size - 1):
                server.accept()[0].close()
        except TimeoutError:
            return False
    return True


def _connect(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _is_locked(path: Path) -> bool | None:
    """Say whether a lock that is held elsewhere is seen here; None where the file system has no locks."""
    try:
        with path.open("ab") as file:
            is_free = try_lock(file)
    except OSError:
        return None
    return None if is_free is None else not is_free
