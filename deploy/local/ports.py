"""Free ports, taken ports, and who has taken them."""

import random
import socket

import psutil

# Below Linux's range for outgoing connections, so that no client socket takes a port between the look and the bind.
CANDIDATES = range(15_000, 25_000)


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that nothing listens on at this moment."""
    found: list[int] = []
    for port in random.SystemRandom().sample(CANDIDATES, k=len(CANDIDATES)):
        if len(found) == count:
            return found
        if is_free(port):
            found.append(port)
    raise OSError(f"Fewer than {count} free ports between {CANDIDATES.start} and {CANDIDATES.stop}.")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Who listens on the port, for an error message: a command with its pid, or "another program"."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another program"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            try:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline())
                return f"`{command[:60]}{'…' if len(command) > 60 else ''}` (pid {process.pid})"
            except (psutil.Error, TypeError):
                break
    return "another program"
