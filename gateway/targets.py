"""One address that calls of a service may go to: its share, its connections, and what is known of its health."""

from typing import Annotated

from pydantic import Field

from gateway.health import Health, HealthEntry
from gateway.outliers import EjectionEntry, Record
from gateway.pool import Pool
from gateway.values import Address, Strict

AVAILABLE, UNHEALTHY, EJECTED = "available", "unhealthy", "ejected"
STATES = (AVAILABLE, UNHEALTHY, EJECTED)


class TargetEntry(Strict):
    """One of several places of a service; it gets `weight` parts of the calls, however many addresses its name has."""

    url: Address
    weight: Annotated[int, Field(ge=1, le=1000)] = 1


class Target:
    """`label` is the place as the table has it: a name there may stand for several addresses, each a target."""

    def __init__(self, label: str, weight: float, pool: Pool, health: HealthEntry | None, out: EjectionEntry) -> None:
        self.label = label
        self.authority = label.encode()
        self.weight = weight
        self.lead = 0.0
        self.pool = pool
        self.health = Health(health) if health is not None else None
        self.record = Record(out)

    @property
    def is_full(self) -> bool:
        return self.pool.is_full

    @property
    def is_healthy(self) -> bool:
        return self.health is None or self.health.is_good

    def state(self, now: float) -> str:
        if not self.is_healthy:
            return UNHEALTHY
        return EJECTED if self.record.is_out(now) else AVAILABLE
