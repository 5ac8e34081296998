"""The addresses that a name stands for now: a headless service in Kubernetes has one for each pod, and they change."""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)
LOOK_EVERY_S = 5.0


def is_address(host: str) -> bool:
    """True if there is nothing to look up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str) -> list[str]:
    """IPv4 where there is any: half of a pair of which one does not answer would be half of all calls."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    by_family = {family: sorted({str(a[4][0]) for a in found if a[0] == family}) for family, *_ in found}
    return by_family.get(socket.AF_INET) or by_family.get(socket.AF_INET6) or []


async def follow(host: str, changed: Callable[[list[str]], None]) -> None:
    """Tell of the addresses at first and whenever they change. A name that is not found keeps those it had."""
    known: list[str] = []
    while True:
        try:
            found = await asyncio.to_thread(_look_up, host)
        except OSError as error:
            log.warning("the name %s is not found: %s", host, error)
        else:
            if found and found != known:
                known = found
                changed(found)
        await asyncio.sleep(LOOK_EVERY_S)
