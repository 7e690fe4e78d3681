"""A real PostgreSQL server, of Debian's package, in a temporary folder and on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers.ports import free_port

USER, PASSWORD = "vclr", "Pass/word:1"  # characters that a URI must escape
ESCAPED_PASSWORD = "Pass%2Fword%3A1"
# What is lost if the machine fails may be lost.
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200")
ONLY_TCP = ("listen_addresses=127.0.0.1", "unix_socket_directories=")
START_TIMEOUT = 60.0  # seconds


class Postgres(NamedTuple):
    """A running server.

    Attributes:
        port: where it listens, on 127.0.0.1.
        process: its first process, which the others end with.
        account: the user of the system that it runs as; a folder for a tablespace must belong to it.
    """

    port: int
    process: subprocess.Popen[bytes]
    account: str | None

    def uri(self, database: str, password: str = ESCAPED_PASSWORD) -> str:
        """Return the address of a database, the password in it."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Run one statement outside a transaction; return its rows."""
        import psycopg2

        with closing(psycopg2.connect(self.uri(database))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def find_program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL; Debian keeps them apart from the other commands."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return str(versions[-1]) if versions else shutil.which(name)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server for the length of a block; its data are deleted afterwards."""
    initdb, postgres = find_program("initdb"), find_program("postgres")
    assert initdb and postgres
    account = _unprivileged_account()
    folder = Path(tempfile.mkdtemp(prefix="postgres"))  # not below pytest's, which other users cannot enter
    try:
        (folder / "password").write_text(PASSWORD)
        if account:
            for path in (folder, folder / "password"):
                shutil.chown(path, account)
        rights = {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []} if account else {}
        options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={folder}/password", "--no-sync"]
        subprocess.run(
            [initdb, f"--pgdata={folder}/data", "--encoding=UTF8", "--locale=C", *options],
            **rights,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        port = free_port()
        settings = [part for option in (*FAST, *ONLY_TCP) for part in ("-c", option)]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [postgres, "-D", f"{folder}/data", "-p", str(port), *settings],
                **rights,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        try:
            server = Postgres(port, process, account)
            _wait_for(server, folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once, clients or not
            process.wait(30)
    finally:
        shutil.rmtree(folder)


def _unprivileged_account() -> str | None:
    """Return whom the server runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _wait_for(server: Postgres, log: Path) -> None:
    import psycopg2

    end = time.monotonic() + START_TIMEOUT
    while True:
        try:
            server.execute("select 1")
            return
        except psycopg2.OperationalError:
            if server.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(log.read_text()) from None
            time.sleep(0.05)
