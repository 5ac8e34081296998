"""The people behind the app: its own server, which sends messages, and those who read metrics and mailboxes."""

import subprocess
import sys
from functools import cached_property
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.demo.console import Console, Failed
from deploy.local.settings import ROOT, Settings

HANDLED = {"outcome": "handled"}
# What the journey must have moved: component, metric, labels.
COUNTERS: list[tuple[str, str, str, dict[str, str]]] = [
    ("gateway requests", "gateway-ops", "http_requests_total", {}),
    ("auth requests", "auth", "http_requests_total", {}),
    ("auth outbox events", "auth-worker", "outbox_relayed_total", {}),
    ("profile requests", "profile", "http_requests_total", {}),
    ("profile user.registered", "profile-worker", "events_handled_total", {"type": "user.registered", **HANDLED}),
    ("data requests", "data", "http_requests_total", {}),
    ("data user.registered", "data-worker", "events_handled_total", {"type": "user.registered", **HANDLED}),
    ("notify requests", "notify", "http_requests_total", {}),
    ("notify message.requested", "notify-worker", "events_handled_total", {"type": "message.requested", **HANDLED}),
    ("notify session.revoked", "notify-worker", "events_handled_total", {"type": "session.revoked", **HANDLED}),
    ("notify deliveries accepted", "notify-worker", "notify_deliveries_total", {"outcome": "accepted"}),
]


class Operator:
    """Reaches the parts as an operator does: on their own ports, and through the gateway with a service's token."""

    def __init__(self, console: Console, settings: Settings) -> None:
        self._console, self._settings = console, settings

    @cached_property
    def token(self) -> str:
        """A short-lived token with the scope messages:send, made by auth's command."""
        command = [sys.executable, "-m", "deploy.local", "run", "auth", sys.executable, "-m", "services.auth", "token"]
        made = subprocess.run([*command, "--scope", "messages:send"], cwd=ROOT, capture_output=True, text=True)
        if made.returncode != 0:
            raise Failed("a token from `python -m services.auth token`", made.stderr[-300:])
        return made.stdout.strip()

    def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, note: str = ""
    ) -> requests.Response:
        answer = self.quiet_call(method, path, body, headers=headers)
        self._console.call(answer, note or "the shop's server")
        return answer

    def quiet_call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> requests.Response:
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return requests.request(method, self._settings.url_of("gateway") + path, json=body, headers=sent, timeout=15)

    def all_arrived(self, channel: str, to: str) -> list[dict[str, Any]]:
        """What the simulator got for a token or an address, newest first."""
        url = f"{self._settings.url_of('simulators')}/api/messages"
        answer = requests.get(url, params={"channel": channel, "to": to}, timeout=5)
        answer.raise_for_status()
        messages: list[dict[str, Any]] = answer.json()["items"]
        return messages

    def arrived(self, channel: str, to: str) -> dict[str, Any] | None:
        return next(iter(self.all_arrived(channel, to)), None)

    def handled(self, service: str, event_type: str) -> float:
        """How many events of a type the service's worker has handled."""
        return self._sum(f"{service}-worker", "events_handled_total", {"type": event_type, **HANDLED})

    def counters(self) -> dict[str, float]:
        return {name: self._sum(part, metric, labels) for name, part, metric, labels in COUNTERS}

    def _sum(self, part: str, metric: str, labels: dict[str, str]) -> float:
        answer = requests.get(f"{self._settings.url_of(part)}/metrics", timeout=5)
        answer.raise_for_status()
        return sum(
            float(sample.value)
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        )
