"""The whole platform: up, down, status, clean. One folder and one range of ports, so that copies run side by side."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deploy.local import environment, ports, report
from deploy.local.parts import Job, Part, Step, parts, with_needs
from deploy.local.server import ServerError
from deploy.local.settings import ROOT, Settings
from deploy.local.start import Progress, Start, run_job
from deploy.local.supervision import Supervisor, end_leftovers

SHOWN_PORTS = 2  # of those that are taken
OWN_MARK = ".gatehouse"  # a folder without this file is not ours to remove


class Stack:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.supervisor = Supervisor(settings)
        self.last_start_file = settings.run / "last-start.json"

    def up(self, names: list[str]) -> None:
        """Start the named parts with all they need, or everything. Leave everything running, or nothing."""
        self._make_folders()
        with self._alone():
            if self.supervisor.pid() is not None:
                return self._complete(names)
            if count := end_leftovers(self.settings):
                print(f"An earlier run had ended badly; the {count} processes it left were stopped.")
            steps = with_needs(self._steps(), names)
            self._require_free_ports(steps)
            print(f"Starting Gatehouse in {self._shown(self.settings.home)}, ports from {self.settings.port}:")
            progress = Progress()
            start = Start(self.settings, self.supervisor, steps, progress)
            try:
                self._prepare()
                self.supervisor.start([step for step in self._steps() if isinstance(step, Part)])
                start.run()
            except BaseException:
                start.abandon()
                self._undo()
                raise
            self._remember(progress)
            self._print_table()
            print(f"Gatehouse is up after {progress.elapsed_s:.1f} s: {self.settings.url_of('gateway')}")

    def _complete(self, names: list[str]) -> None:
        """`up` on a running platform: start what is missing, touch nothing else."""
        running_port = self.last_start().get("port", self.settings.port)
        where = self._shown(self.settings.home)
        if running_port != self.settings.port:
            raise ServerError(
                f"Gatehouse already runs in {where} on port {running_port}: "
                "`make down` first, or choose another GATEHOUSE_HOME."
            )
        states = self.supervisor.states()
        steps = [
            step
            for step in with_needs(self._steps(), names)
            if isinstance(step, Job) or states[step.name]["statename"] not in ("RUNNING", "STARTING")
        ]
        missing = [step.name for step in steps if isinstance(step, Part)]
        if missing:
            print(f"Gatehouse is already running in {where}; starting what is missing: {', '.join(missing)}.")
            Start(self.settings, self.supervisor, independent(steps), Progress()).run()
            self._print_table()
        else:
            self._print_table()
            print(f"Gatehouse is already running in {where}: nothing to start. `make down` stops it.")

    def down(self) -> None:
        """Stop exactly what `up` started; the data stays."""
        if not self.settings.home.exists():
            return print("Gatehouse is not running.")
        with self._alone():
            began = time.monotonic()
            was_running = self.supervisor.pid() is not None
            count = self._end_all()
            if was_running:
                took = time.monotonic() - began
                print(f"Gatehouse is down after {took:.1f} s; its data stays in {self._shown(self.settings.home)}.")
            elif count:
                print(f"An earlier run had ended badly; the {count} processes it left were stopped.")
            else:
                print("Gatehouse is not running.")

    def clean(self) -> None:
        """Stop everything and remove the folder with all data."""
        home = self.settings.home
        if not home.exists():
            return print(f"{self._shown(home)} does not exist: nothing to remove.")
        if not (home / OWN_MARK).exists():
            raise ServerError(f"{self._shown(home)} was not made by Gatehouse, so it stays. Is GATEHOUSE_HOME right?")
        with self._alone():
            self._end_all()
            self.settings.socket.unlink(missing_ok=True)
            shutil.rmtree(home)
        print(f"{self._shown(home)} is removed, with all data in it.")

    def restart(self, names: list[str]) -> None:
        """Stop and start the named parts of a running platform."""
        with self._alone():
            self._require_running()
            chosen = [step for step in self._steps() if isinstance(step, Part) and step.name in names]
            with ThreadPoolExecutor() as pool:
                list(pool.map(self.supervisor.stop_part, chosen))
            Start(self.settings, self.supervisor, independent(chosen), Progress()).run()

    def status(self) -> bool:
        """Print the table with memory and the figures of the last start; return whether all parts are well."""
        if self.supervisor.pid() is None:
            print("Gatehouse is not running. `make up` starts it.")
            return False
        return self._print_table(is_full=True)

    def last_start(self) -> dict[str, Any]:
        """`port`, `at`, `seconds` and `parts` (seconds each) of the last complete `up`; empty if there was none."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(self.last_start_file.read_text())
            return found
        return {}

    def admin_amqp_url(self) -> str:
        self._require_running()
        return environment.servers(self.settings).rabbitmq.admin_url

    def component_environment(self, component: str) -> dict[str, str]:
        """What a command needs to act as this component."""
        on = environment.servers(self.settings)
        table = environment.environments(self.settings, on, environment.credentials(self.settings))
        return environment.process_environment(self.settings, component, table[component])

    def _steps(self) -> list[Step]:
        on = environment.servers(self.settings)
        table = environment.environments(self.settings, on, environment.credentials(self.settings))
        steps: list[Step] = []
        for part in parts(self.settings, on, table):
            if part.name in environment.DATABASES:
                steps.append(Job(f"{part.name}-database", partial(create_database, on, part.name), ("postgres",)))
            if part.name in environment.COMPONENTS and part.name != "gateway":
                more = environment.for_migrations(self.settings, part.name, table[part.name], on)
                steps.append(self._migrations(part, more))
            steps.append(part)
        return steps

    def _migrations(self, part: Part, more: dict[str, str]) -> Job:
        name = f"{part.name}-migrations"
        command = [sys.executable, "-m", f"services.{part.name}", "migrate"]
        needs = f"{part.name}-database" if part.name in environment.DATABASES else "mongo"
        return Job(name, partial(run_job, self.settings, name, command, part.env | more, ROOT), (needs,))

    def _prepare(self) -> None:
        on = environment.servers(self.settings)
        with ThreadPoolExecutor() as pool:
            for result in [pool.submit(server.prepare) for server in (on.postgres, on.rabbitmq, on.mongo)]:
                result.result()

    def _make_folders(self) -> None:
        home = self.settings.home
        try:
            is_new = not home.exists() or not any(home.iterdir())
            home.mkdir(mode=0o711, parents=True, exist_ok=True)
            home.chmod(0o711)  # PostgreSQL may run as another account and must get to its own folder
            if is_new:
                (home / OWN_MARK).touch()
            for folder in (self.settings.logs, self.settings.run, self.settings.secrets):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServerError(f"GATEHOUSE_HOME {home} cannot be used: {error}.") from None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one command at a time changes a platform."""
        self.settings.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.settings.run / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                where = self._shown(self.settings.home)
                raise ServerError(
                    f"Another command is starting or stopping the platform in {where}: let it end."
                ) from None
            yield

    def _require_free_ports(self, steps: list[Step]) -> None:
        taken = [
            f"Port {port}, meant for {step.name}, is taken by {ports.holder(port)}."
            for step in steps
            if isinstance(step, Part)
            for port in step.ports
            if not ports.is_free(port)
        ]
        if taken:
            advice = f"Stop what holds it, or choose other ports: GATEHOUSE_PORT={self.settings.port + 1000} make up"
            more = [f"So are {len(taken) - SHOWN_PORTS} more: another copy seems to run."] * (len(taken) > SHOWN_PORTS)
            raise ServerError("\n".join([*taken[:SHOWN_PORTS], *more, advice]))

    def _require_running(self) -> None:
        if self.supervisor.pid() is None:
            raise ServerError("Gatehouse is not running. `make up` starts it.")

    def _undo(self) -> None:
        """What `up` began is ended, whatever comes in between."""
        previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        if self.supervisor.pid() is not None:
            print("\nStopping what was started ...", flush=True)
        self._end_all()
        for number, handler in previous.items():
            signal.signal(number, handler)

    def _end_all(self) -> int:
        self.supervisor.stop()
        return end_leftovers(self.settings)

    def _remember(self, progress: Progress) -> None:
        record = {
            "port": self.settings.port,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(progress.elapsed_s, 1),
            "parts": progress.seconds,
        }
        self.last_start_file.write_text(json.dumps(record, indent=2))

    def _print_table(self, *, is_full: bool = False) -> bool:
        listed = [step for step in self._steps() if isinstance(step, Part) and step.is_listed]
        rows = report.rows(listed, self.supervisor, self.settings)
        print(report.table(rows, is_full=is_full, shown=self._shown))
        if is_full:
            print(report.figures(rows, self.supervisor, self.last_start()))
        return all(row.health == "ready" for row in rows)

    @staticmethod
    def _shown(path: Path) -> str:
        return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def create_database(on: environment.Servers, name: str) -> None:
    on.postgres.create_role_and_database(name, on.database_passwords[name])
    if owner := environment.OWNERS.get(name):
        on.postgres.create_owner(owner, on.database_passwords[owner], database=name, role=name)


def independent(steps: Sequence[Step]) -> list[Step]:
    """The same steps, needing only each other: what they need besides is running already."""
    names = {step.name for step in steps}
    return [replace(step, needs=tuple(need for need in step.needs if need in names)) for step in steps]
