"""A service as the route table names it: its targets, which of them gets a call, and whether it is asked at all."""

import asyncio
import logging
from collections.abc import Hashable
from functools import partial
from math import ceil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway import health, meters, names
from gateway.balance import choose
from gateway.breaker import CLOSED, Breaker
from gateway.pool import Pool
from gateway.retries import Budget
from gateway.targets import STATES, Target
from shared.errors import Unavailable

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.entries import UpstreamEntry

log = logging.getLogger(__name__)


class Upstream:
    """Finds a connection for each call, and keeps account of how calls end."""

    def __init__(self, name: str, entry: "UpstreamEntry", *, most: int, keepalive_s: float) -> None:
        self.name = name
        self.entry = entry
        self._most = most
        self._keepalive_s = keepalive_s
        self.targets: list[Target] = []
        self._weights: dict[str, int] = {}
        for place in entry.places:
            url = urlsplit(place.url)
            self._weights[url.netloc] = place.weight
            self.targets.append(self._target(url.netloc, url.hostname or ""))
        self.breaker = Breaker(entry.breaker) if entry.breaker is not None else None
        self.budget = Budget(entry.retry_budget)
        self.available: list[Target] = []
        self._only: Target | None = None  # the one that is available
        self.is_guarded = False  # not every call may pass
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self.loop: asyncio.AbstractEventLoop
        self._review(0.0)

    def _target(self, label: str, host: str) -> Target:
        port = urlsplit(f"//{label}").port or 80
        pool = Pool(self.name, host, port, most=self._most, keepalive_s=self._keepalive_s)
        return Target(label, self._weights[label], pool, self.entry.checks, self.entry.ejection)

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on calls may come."""
        self.loop = loop
        for label in self._weights:
            host = urlsplit(f"//{label}").hostname or ""
            if label not in self._tasks and not names.is_address(host):
                self._tasks[label] = loop.create_task(names.follow(host, partial(self._found, label)))
        for target in self.targets:
            self._attend(target)

    def _attend(self, target: Target) -> None:
        target.pool.loop = self.loop
        if target.health is not None and target not in self._tasks:
            self._tasks[target] = self.loop.create_task(health.follow(target, target.health, self._health_changed))

    def inherit(self, older: "Upstream") -> None:
        """Go on with the connections, and what is known, of targets that an older table had too."""
        for label, weight in self._weights.items():
            kept = [target for target in older.targets if target.label == label]
            if kept and older.entry.checks == self.entry.checks and older.entry.ejection == self.entry.ejection:
                self.targets = [target for target in self.targets if target.label != label] + kept
                for target in kept:
                    target.weight = weight / len(kept)
                    older.let_go(target)
        self._review(older.loop.time())

    def let_go(self, target: Target) -> None:
        """It is another's to attend to."""
        task = self._tasks.pop(target, None)
        if task is not None:
            task.cancel()
        self.targets.remove(target)

    def _found(self, label: str, addresses: list[str]) -> None:
        """A name of the table stands for these addresses now."""
        known = {target.pool.host: target for target in self.targets if target.label == label}
        here = {address: known.get(address) or self._target(label, address) for address in addresses}
        for target in known.values():
            if target not in here.values():
                self.let_go(target)
                target.pool.retire()
        self.targets = [target for target in self.targets if target.label != label] + list(here.values())
        for target in here.values():
            target.weight = self._weights[label] / len(here)
            self._attend(target)
        if len(here) > 1 or len(known) > 1:
            log.info("%s is at %s", label, ", ".join(addresses))
        self._review(self.loop.time())

    # A call's way.

    def connect(self, call: "Call") -> None:
        """Give the call a connection, now or later. Raise Unavailable if the service is not to be asked."""
        if self.is_guarded:
            self._admit(call)
        target = self._only
        if target is None:
            fresh = [target for target in self.available if target not in call.tried] if call.tried else None
            target = choose(fresh or self.available) or self.available[0]
        call.target = target
        target.pool.connect(call)

    def _admit(self, call: "Call") -> None:
        if not self.available:
            raise self.unavailable(ceil(self.entry.checks.interval_s) if self.entry.checks is not None else 1)
        now = self.loop.time()
        if self.breaker is not None and self.breaker.state != CLOSED:
            if not self.breaker.admits(now):
                raise self.unavailable(self.breaker.wait_s(now))
            call.is_probe = True

    def probe_over(self, is_good: bool | None) -> None:
        """How the call has ended that was let through to see whether the service works again."""
        if self.breaker is not None:
            now = self.loop.time()
            self.breaker.probe_over(is_good, now)
            if self.breaker.state == CLOSED:
                log.warning("the %s service works again: calls pass", self.name)
            self._review(now)

    def failed(self, target: Target, *, is_outage: bool = True) -> None:
        """A try has failed; an answer of 500 or 501 is the target's failure, but does not mean that it is not there."""
        now = self.loop.time()
        if target.record.fails(target.pool.good, now) and self._may_eject(now):
            target.record.eject(now)
            meters.EJECTIONS.labels(self.name, target.label).inc()
            log.warning("%s (%s) of the %s service fails and is left out", target.label, target.pool.host, self.name)
            self._review(now)
        self._settle(int(is_outage), now)

    def _may_eject(self, now: float) -> bool:
        out = sum(target.record.is_out(now) for target in self.targets)
        return out < self.entry.ejection.most(len(self.targets))

    def _settle(self, bad: int, now: float) -> None:
        """Take account of the calls that have ended since the last time."""
        good = sum(target.pool.newly_good() for target in self.targets)
        if good or bad:
            self.budget.count(good + bad, now)
            if self.breaker is not None and self.breaker.state == CLOSED:
                self.breaker.count(good, bad, now)
                if self.breaker.state != CLOSED:
                    log.warning("the %s service mostly fails: it is left alone for a while", self.name)
                    self._review(now)

    def _health_changed(self, target: Target) -> None:
        log.warning(
            "%s (%s) of the %s service is %s", target.label, target.pool.host, self.name,
            "well" if target.is_healthy else "not well",
        )  # fmt: skip
        self._review(self.loop.time())

    def _review(self, now: float) -> None:
        """Decide anew who may get calls: those that are well, and of them those not left out, if there are any."""
        well = [target for target in self.targets if target.is_healthy]
        self.available = [target for target in well if not target.record.is_out(now)] or well
        self._only = self.available[0] if len(self.available) == 1 else None
        self.is_guarded = not self.available or (self.breaker is not None and self.breaker.state != CLOSED)

    # The rest.

    def tick(self, now: float) -> None:
        """What is done a few times a second."""
        self._settle(0, now)
        if len(self.available) < len(self.targets):
            self._review(now)
        for target in self.targets:
            target.pool.close_idle(now)
            target.pool.known_answers.forget()

    def retire(self) -> None:
        """No new call will come: connections are closed as soon as they are idle."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        for target in self.targets:
            target.pool.retire()

    def busy(self) -> Unavailable:
        """The answer for a call that waited in vain."""
        return Unavailable(f"The {self.name} service has too many requests to answer.", code="upstream_busy")

    def unavailable(self, retry_after_s: int) -> Unavailable:
        """The answer for a call that is not made."""
        detail = f"The {self.name} service does not work at the moment."
        return Unavailable(detail, retry_after_s=retry_after_s, code="upstream_unavailable")

    def connections(self) -> dict[str, int]:
        """How many are `idle` and `busy`, and how many calls are `waiting` for one."""
        pools = [target.pool for target in self.targets]
        idle = sum(len(pool.idle) for pool in pools)
        waiting = sum(len(pool.waiting) for pool in pools)
        return {"idle": idle, "busy": sum(pool.open for pool in pools) - idle, "waiting": waiting}

    def states(self, now: float) -> dict[tuple[str, str], int]:
        """How many addresses of each target of the table are in each state."""
        counts = {(label, state): 0 for label in self._weights for state in STATES}
        for target in self.targets:
            counts[target.label, target.state(now)] += 1
        return counts
