"""A real PostgreSQL server for tests; each database belongs to one test at a time."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from tests.support.network import free_port

__all__ = ["Postgres", "find_postgres_bin_dir", "postgres", "postgres_server"]

TIMEOUT = 30.0
"""Seconds that a server may take to start or to stop."""

DEFAULT_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
    "max_connections": "40",
    "shared_buffers": "64MB",
}

_RESET_SQL = r"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
  LOOP EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP;
  FOR name IN SELECT rolname FROM pg_roles WHERE rolname LIKE '%\_' || current_database()
  LOOP EXECUTE format('DROP OWNED BY %I', name); EXECUTE format('DROP ROLE %I', name); END LOOP;
  EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
END $$;
CREATE SCHEMA public;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
"""Resets a used database, which is faster than a new one; roles of a database end with its name."""


def find_postgres_bin_dir() -> Path | None:
    """Return the folder of the newest PostgreSQL programs; None without an installation."""
    initdb_paths = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if initdb_paths:
        return initdb_paths[-1].parent
    program = shutil.which("initdb")
    return None if program is None else Path(program).resolve().parent


class Postgres:
    """A server on a free local port; it keeps its data over restarts until it is removed.

    PostgreSQL refuses to run as root, so it then runs as ``nobody``.
    """

    def __init__(self, bin_dir: Path) -> None:
        self._bin_dir = bin_dir
        self._run_as = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="insights-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._database_numbers = count()
        self._leased_databases: list[str] = []
        self._idle_databases: list[str] = []
        self._change_owner(self.folder)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        # Other users need a password, as in production.
        (self.data / "pg_hba.conf").write_text(
            "local all postgres trust\n"
            "host all postgres 127.0.0.1/32 trust\n"
            "host all all 127.0.0.1/32 scram-sha-256\n"
        )

    def start(self, **settings: str) -> None:
        """Start the server and wait until it is ready; the settings hold until the next start."""
        server_settings = {**DEFAULT_SETTINGS, "unix_socket_directories": str(self.folder), **settings}
        options = [option for name, value in server_settings.items() for option in ("-c", f"{name}={value}")]
        user, group, groups = self._run_as_ids
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin_dir / "postgres", "-D", self.data, "-p", str(self.port), *options],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                user=user,
                group=group,
                extra_groups=groups,
            )
        deadline = time.monotonic() + TIMEOUT
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server and abort running queries; ``at_once`` skips the orderly shutdown."""
        process, self._process = self._process, None
        if process is None:
            return
        # These are the signals of PostgreSQL's fast and immediate shutdown.
        process.send_signal(3 if immediate else 2)
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, *, immediate: bool = False, **settings: str) -> None:
        """Restart the server."""
        self.stop(immediate=immediate)
        self.start(**settings)

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self.stop(immediate=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process id of the server."""
        if self._process is None:
            raise RuntimeError("The server does not run.")
        return self._process.pid

    def dsn(self, database: str = "postgres", *, user: str = "postgres", password: str = "") -> str:
        """Return the DSN of a database."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Return the name of a new or reset database for exclusive use."""
        if self._idle_databases:
            name = self._idle_databases.pop()
            self.sql(_RESET_SQL, database=name)
        else:
            name = f"coder_{next(self._database_numbers)}"
            self.sql(f"CREATE DATABASE {name}")
        self._leased_databases.append(name)
        return name

    def release_databases(self, *databases: str) -> None:
        """Make databases available to later tests."""
        for name in databases:
            self._leased_databases.remove(name)
            self._idle_databases.append(name)

    @contextmanager
    def lease_databases(self) -> Iterator[Postgres]:
        """Release the databases that are leased within the context."""
        leased_before = set(self._leased_databases)
        yield self
        self.release_databases(*(name for name in self._leased_databases if name not in leased_before))

    def freeze_clock(self, database: str, now: datetime) -> None:
        """Make ``now()`` return a fixed time in all connections that are opened from now on."""
        self.sql(
            f"ALTER DATABASE {database} SET search_path = public, pg_catalog;"
            "CREATE OR REPLACE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE AS"
            f" $$SELECT '{now.isoformat()}'::timestamptz$$",
            database=database,
        )

    def unfreeze_clock(self, database: str) -> None:
        """Undo ``freeze_clock``."""
        self.sql(
            f"ALTER DATABASE {database} RESET search_path; DROP FUNCTION public.now()", database=database
        )

    def sql(self, statements: str, *, database: str = "postgres") -> str:
        """Run statements with psql and return the unaligned output."""
        process = subprocess.run(
            [
                *(self._bin_dir / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
                *("-d", self.dsn(database), "-f", "-"),
            ],
            input=statements,
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode:
            raise RuntimeError(process.stderr)
        return process.stdout.strip()

    def write_private_file(self, path: Path, text: str | bytes) -> None:
        """Write a file that only the server's account may read, such as a key."""
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o600)
        self._change_owner(path)

    def _is_ready(self) -> bool:
        process = subprocess.run(
            [self._bin_dir / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        )
        return process.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        user, group, groups = self._run_as_ids
        subprocess.run(
            [self._bin_dir / program, *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
            user=user,
            group=group,
            extra_groups=groups,
        )

    @property
    def _run_as_ids(self) -> tuple[int | None, int | None, list[int] | None]:
        """The user, group and extra groups of the server process; None is the account of the tests."""
        if self._run_as is None:
            return None, None, None
        return self._run_as.pw_uid, self._run_as.pw_gid, []

    def _change_owner(self, path: Path) -> None:
        if self._run_as is not None:
            os.chown(path, self._run_as.pw_uid, self._run_as.pw_gid)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """Start one server for the whole session; a test that stops it must start it again."""
    bin_dir = find_postgres_bin_dir()
    if bin_dir is None:
        pytest.skip("PostgreSQL is not installed: see tests/support/install-binaries.sh.")
    server = Postgres(bin_dir)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """Return the shared server; its databases are reset and reused after the test."""
    with postgres_server.lease_databases():
        yield postgres_server
