"""What is shown of a running platform: one table, and the figures it is held to."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deploy.local.parts import Part
from deploy.local.server import NotReady
from deploy.local.settings import Settings
from deploy.local.supervision import Supervisor


@dataclass(frozen=True)
class Memory:
    pss_bytes: int = 0
    rss_bytes: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.pss_bytes + other.pss_bytes, self.rss_bytes + other.rss_bytes)


@dataclass(frozen=True)
class Row:
    name: str
    address: str
    health: str
    pid: int
    up_s: int
    memory: Memory
    log: Path


def rows(parts: list[Part], supervisor: Supervisor, settings: Settings) -> list[Row]:
    states = supervisor.states()
    with ThreadPoolExecutor(max_workers=len(parts)) as pool:
        healths = list(pool.map(lambda part: health(part, states[part.name]["statename"]), parts))
    return [
        Row(
            name=part.name,
            address=part.address,
            health=found,
            pid=states[part.name]["pid"],
            up_s=max(0, int(time.time()) - states[part.name]["start"]) if states[part.name]["pid"] else 0,
            memory=memory_of(states[part.name]["pid"]),
            log=settings.logs / f"{part.name}.log",
        )
        for part, found in zip(parts, healths, strict=True)
    ]


def health(part: Part, state: str) -> str:
    if state not in ("RUNNING", "STARTING"):
        return {"BACKOFF": "restarting", "EXITED": "ended"}.get(state, state.lower())
    try:
        part.probe()
    except NotReady as error:
        return f"not ready: {error}"[:60]
    return "ready"


def memory_of(pid: int) -> Memory:
    """Of the process and all below it. PSS counts a page shared by n processes as 1/n in each, so the sum is right."""
    total = Memory()
    if not pid:
        return total
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                info = member.memory_full_info()
                total += Memory(info.pss, info.rss)
    return total


def table(rows: list[Row], *, is_full: bool, shown: Callable[[Path], str]) -> str:
    head = ["part", "address", "health", "log file"]
    lines = [[row.name, row.address, row.health, shown(row.log)] for row in rows]
    if is_full:
        head[3:3] = ["pid", "up", "PSS MB", "RSS MB"]
        for line, row in zip(lines, rows, strict=True):
            memory = row.memory
            figures = [str(row.pid), duration(row.up_s), megabytes(memory.pss_bytes), megabytes(memory.rss_bytes)]
            line[3:3] = figures if row.pid else [""] * 4
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in [head, *lines]]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def figures(rows: list[Row], supervisor: Supervisor, last_start: dict[str, Any]) -> str:
    """Measured now (memory of all parts and the supervisor itself) and at the last `up` (seconds)."""
    total = sum((row.memory for row in rows), own_memory(supervisor))
    pss, rss = megabytes(total.pss_bytes), megabytes(total.rss_bytes)
    text = f"memory: {pss} MB resident (PSS; the sum of RSS is {rss} MB); the limit is 1,200 MB"
    if last_start:
        text += f"\nlast start: {last_start['seconds']} s, at {last_start['at']}; the limit for a warm start is 25 s"
    return text


def own_memory(supervisor: Supervisor) -> Memory:
    pid = supervisor.pid()
    with suppress(psutil.Error, TypeError):
        info = psutil.Process(pid).memory_full_info()
        return Memory(info.pss, info.rss)
    return Memory()


def megabytes(number: int) -> str:
    return f"{number / 1_048_576:,.0f}"


def duration(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
