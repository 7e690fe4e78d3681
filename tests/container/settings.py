"""How this machine reaches packages: what a fresh Debian on it needs to be told, too."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
OWN_CERTIFICATES = Path("/usr/local/share/ca-certificates")  # of which Debian makes that file anew with each update
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
RELEASE = "bookworm"  # of the container recipes


def pip_environment() -> dict[str, str]:
    """Return pip's settings here (of all its files and variables) as the environment variables that say the same."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = {}
    # Variables of the environment are listed first, but count more.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2].upper().replace("-", "_")
        found[f"PIP_{name}"] = " ".join(str(ast.literal_eval(value)).split())
    return found


def local_places(environment: dict[str, str]) -> set[Path]:
    """Return the files and folders of this machine that settings of pip name.

    The pages of an index in a folder link to files beside it: of an index, its parent counts.
    """
    places = set()
    for name, value in environment.items():
        for word in value.split():
            place = Path(word.removeprefix("file://"))
            if place.is_absolute() and place.exists():
                places.add(place.parent if "INDEX" in name else place)
    return places


def network_environment() -> dict[str, str]:
    """Return what programs need for their connections: the proxies and the certificates of this machine."""
    environment = {name: os.environ[name] for name in PROXIES if name in os.environ}
    if CERTIFICATES.exists():
        environment |= {name: str(CERTIFICATES) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    return environment


def apt_files() -> list[Path]:
    """Return the files that say where this machine has Debian from; none if it is another system."""
    if f"VERSION_CODENAME={RELEASE}" not in Path("/etc/os-release").read_text(encoding="utf-8").split():
        return []
    lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    sources = [path for path in lists if path.suffix in (".list", ".sources") and path.is_file()]
    sources = [path for path in sources if "debian" in path.read_text(encoding="utf-8")]
    settings = [path for path in Path("/etc/apt/apt.conf.d").glob("*") if path.is_file()]
    return sources + [path for path in settings if "::proxy" in path.read_text(encoding="utf-8").lower()]


def debian_mirror() -> str:
    """Return the address from which this machine has Debian, or Debian's own."""
    for path in apt_files():
        text = path.read_text(encoding="utf-8")
        match = re.search(r"^(?:URIs:|deb(?: \[.*\])?)\s+(\S+/debian)/?\s", text, flags=re.MULTILINE)
        if match:
            return match[1]
    return "http://deb.debian.org/debian"
