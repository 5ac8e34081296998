"""supervisord keeps the parts running: its configuration, and the few things asked of it."""

import contextlib
import http.client
import os
import shlex
import stat
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from deploy.local.parts import GROUPS, Part
from deploy.local.secret_files import write_private
from deploy.local.server import ServerError, base_env, end_of
from deploy.local.settings import ROOT, Settings

# Every process of a platform inherits this variable; it is how leftovers of a crashed run are told from anything else.
MARK = "GATEHOUSE_SUPERVISED_HOME"
LOG_BYTES = 5_000_000


class Supervisor:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pid_file = settings.run / "supervisord.pid"
        self.log = settings.logs / "supervisord.log"

    def start(self, parts: list[Part]) -> None:
        """Start supervisord with every part configured and none started; return when it answers."""
        prepare_socket_folder(self.settings.socket)
        configuration = self.settings.run / "supervisord.conf"
        write_private(configuration, self._configuration(parts))
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(configuration)],
                cwd=ROOT,
                env=base_env(home=Path.home()) | {MARK: str(self.settings.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 15
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"supervisord did not start. {end_of(self.log)}")
            time.sleep(0.05)

    def _configuration(self, parts: list[Part]) -> str:
        logs = self.settings.logs
        groups = [
            f"[group:{group}]\nprograms={','.join(part.name for part in parts if part.group == group)}\n"
            f"priority={100 * (len(GROUPS) - position)}\n"
            for position, group in enumerate(GROUPS)
        ]
        return "\n".join(
            [
                f"[unix_http_server]\nfile={ini(self.settings.socket)}\nchmod=0700\n",
                f"[supervisord]\nlogfile={ini(self.log)}\nlogfile_maxbytes={LOG_BYTES}\nlogfile_backups=1",
                f"pidfile={ini(self.pid_file)}\nchildlogdir={ini(logs)}\nsilent=true\n{run_as_self()}",
                "[rpcinterface:supervisor]\n"
                "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n",
                *groups,
                *(program(part, logs / f"{part.name}.log") for part in parts),
            ]
        )

    def pid(self) -> int | None:
        """The pid of this platform's running supervisord."""
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(self.pid_file.read_text()))
            if process.environ().get(MARK) == str(self.settings.home) and process.status() != psutil.STATUS_ZOMBIE:
                return int(process.pid)
        return None

    def start_part(self, part: Part) -> None:
        with contextlib.suppress(xmlrpc.client.Fault):  # it is started already
            self._call("startProcess", f"{part.group}:{part.name}", False)

    def stop_part(self, part: Part) -> None:
        with contextlib.suppress(xmlrpc.client.Fault):  # it is stopped already
            self._call("stopProcess", f"{part.group}:{part.name}", True)

    def states(self) -> dict[str, dict[str, Any]]:
        """For each part: `statename`, `pid`, `start` and `now` (seconds of the epoch)."""
        return {info["name"]: info for info in self._call("getAllProcessInfo")}

    def stop(self, timeout_s: float = 60) -> None:
        """Stop every part, the door first, then supervisord itself; return when it is gone."""
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(OSError, xmlrpc.client.Error, http.client.HTTPException):
            for group in GROUPS:
                self._stop_group(group, timeout_s)
            self._call("shutdown")
        deadline = time.monotonic() + timeout_s
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
                if not self._answers():
                    process.terminate()
                time.sleep(0.1)

    def _stop_group(self, group: str, timeout_s: float) -> None:
        """Asking often makes it quick: left alone, supervisord looks after its children once a second."""
        self._call("stopProcessGroup", group, False)
        deadline = time.monotonic() + timeout_s
        while any(info["group"] == group and info["pid"] for info in self.states().values()):
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, xmlrpc.client.Error, http.client.HTTPException):
            return bool(self._call("getState")["statecode"] == 1)
        return False

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self.settings.socket}")
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
                return getattr(server.supervisor, method)(*arguments)
        finally:
            transport.close()


def program(part: Part, log: Path) -> str:
    environment = ",".join(f"{name}={quote(value)}" for name, value in part.env.items())
    return f"""\
[program:{part.name}]
command={ini(shlex.join(part.command))}
directory={ini(part.folder)}
environment={environment}
autostart=false
autorestart=true
startsecs=2
startretries=100000
stopsignal={part.stop_signal}
stopwaitsecs=25
killasgroup=true
redirect_stderr=true
stdout_logfile={ini(log)}
stdout_logfile_maxbytes={LOG_BYTES}
stdout_logfile_backups=2
"""


def ini(value: object) -> str:
    """supervisord expands %(names)s in every value."""
    return str(value).replace("%", "%%")


def quote(value: str) -> str:
    """supervisord reads the environment with shlex, which knows quotes but no escapes."""
    mark = "'" if '"' in value else '"'
    if mark in value or "\n" in value:
        raise ServerError("A setting for supervisord holds both kinds of quotes or a line break: put it into a file.")
    return f"{mark}{ini(value)}{mark}"


def run_as_self() -> str:
    return "user=root\n" if os.getuid() == 0 else ""


def prepare_socket_folder(path: Path) -> None:
    """Raise ServerError if the folder, which may be in /tmp, is somebody else's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ServerError(f"{path.parent} belongs to another account: remove it, or choose a shorter GATEHOUSE_HOME.")
    path.unlink(missing_ok=True)


def leftovers(settings: Settings) -> list[psutil.Process]:
    """What runs with this platform's mark, whoever its parent is now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(settings.home) and process.pid != os.getpid():
                found.append(process)
    return found


def end_leftovers(settings: Settings, timeout_s: float = 15) -> int:
    """End what an earlier run left behind; return how many processes that were."""
    count = 0
    deadline = time.monotonic() + timeout_s
    while remaining := leftovers(settings):
        count = max(count, len(remaining))
        is_late = time.monotonic() > deadline
        for process in remaining:
            with contextlib.suppress(psutil.Error):
                if is_late:
                    process.kill()
                else:  # PostgreSQL waits for its clients at SIGTERM
                    process.send_signal(2 if process.name() == "postgres" else 15)
        psutil.wait_procs(remaining, timeout=3)
        if time.monotonic() > deadline + 10:
            raise ServerError(f"Processes of an earlier run do not end: {sorted(p.pid for p in remaining)}.")
    return count
