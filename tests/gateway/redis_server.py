"""A Redis server of the test's own, without a file on disk."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from deploy.local.ports import free_ports

HOST = "127.0.0.1"


class RedisServer:
    """Stopped, started again on the same port, or frozen: it takes connections then, and answers nothing."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.url = f"redis://{HOST}:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes]

    def start(self) -> "RedisServer":
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: make test installs it"
        command = [program, "--bind", HOST, "--port", str(self.port), "--save", "", "--dir", str(self._folder)]
        with (self._folder / "redis.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + 15
        while self.ask("PING") != b"+PONG\r\n":
            assert time.monotonic() < deadline, (self._folder / "redis.log").read_text()
            time.sleep(0.03)
        return self

    def ask(self, command: str) -> bytes:
        """The beginning of the answer to an inline command; nothing if nobody answers."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(command.encode() + b"\r\n")
                return connection.recv(65536)
        except OSError:
            return b""

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
