"""A fresh Debian in a folder, made by debootstrap, in which commands run as on a machine of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.container.settings import (
    CERTIFICATES,
    OWN_CERTIFICATES,
    RELEASE,
    apt_files,
    debian_mirror,
    local_places,
    network_environment,
    pip_environment,
)

PACKAGES = ("python3", "python3-venv", "make", "git", "ca-certificates")  # the last one belongs to the network
USER = 1000  # who works there; its home is /home/user
CACHE = "/var/cache/pip"

# In a mount namespace of its own, so that nothing stays mounted when the command ends in whatever way.
ENTER = """
set -e
root=$1
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
IFS=:
for place in $PLACES; do mount --bind -o ro "$place" "$root$place"; done
unset IFS
shift
exec chroot --userspec="$WHO" "$root" "$@"
"""


class Debian:
    """A root file system with Python, make and git, and a user without rights."""

    def __init__(self, root: Path) -> None:
        """Make it in a folder that does not exist.

        Raises:
            pytest.skip.Exception: this machine cannot: not root, without debootstrap, or the mirror does not answer.
        """
        if os.getuid() or not shutil.which("debootstrap"):
            pytest.skip("needs root and debootstrap")
        if subprocess.run(["unshare", "--mount", "mount", "--make-rprivate", "/"], capture_output=True).returncode:
            pytest.skip("needs root and debootstrap: this root may not mount")
        self.root = root
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", RELEASE, str(root)]
        # Without waiting for the disk after each file: whoever pulls the plug makes it anew.
        hasty = {**os.environ, "DPKG_FORCE": "unsafe-io"}
        done = subprocess.run([*command, debian_mirror()], env=hasty, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs root and debootstrap: it failed: {(done.stdout + done.stderr)[-500:]}")
        self.pip = pip_environment()
        self.places = local_places(self.pip)
        self._connect()
        self.run(f"useradd --uid {USER} --create-home user && mkdir -m 777 {CACHE}", "/", as_root=True)

    def _connect(self) -> None:
        """Give it this machine's ways to packages."""
        own_certificates = (path for path in OWN_CERTIFICATES.rglob("*.crt") if path.is_file())
        for file in (Path("/etc/resolv.conf"), Path("/etc/hosts"), *apt_files(), *own_certificates):
            self._copy(file)
        if CERTIFICATES.exists():
            self._copy(CERTIFICATES)
        for place in self.places:
            if place.is_dir():
                (self.root / place.relative_to("/")).mkdir(parents=True, exist_ok=True)
            else:
                self._copy(place)

    def _copy(self, file: Path) -> None:
        target = self.root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)

    def clone(self, repository: Path, folder: str) -> Path:
        """Clone a repository into a folder of the user, and return the folder as this machine names it."""
        target = self.root / folder.lstrip("/")
        subprocess.run(["git", "clone", "--quiet", str(repository), str(target)], check=True)
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(target)], check=True)
        return target

    def run(self, command: str, folder: str = "/home/user", seconds: float = 1500, as_root: bool = False) -> str:
        """Run shell commands there as the user, or as root, up to the first that fails; return all that they print.

        Raises:
            AssertionError: it fails.
        """
        environment = {
            **self.pip,
            **network_environment(),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root" if as_root else "/home/user",
            "PIP_CACHE_DIR": CACHE,
            "PIP_QUIET": "2",  # errors only
            "OMP_NUM_THREADS": "1",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        folders = (str(place) for place in sorted(self.places) if place.is_dir())
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(self.root)]
            + [
                "/usr/bin/env",
                "-u",
                "PLACES",
                "-u",
                "WHO",
                "bash",
                "-c",
                f"set -e; cd {shlex.quote(folder)}\n{command}",
            ],
            env={**environment, "PLACES": ":".join(folders), "WHO": "0:0" if as_root else f"{USER}:{USER}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it started
            raise
        assert process.returncode == 0, f"{command}: exit {process.returncode}\n{output[-6000:]}"
        return output
