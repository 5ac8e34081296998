"""The page and the control API, for viewers only: what arrived, what was counted, and what to do wrong."""

import asyncio
import ipaddress
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from deploy.local.simulators import http2
from deploy.local.simulators.arrivals import Arrival, Arrivals
from deploy.local.simulators.faults import CHANNELS, BadFault, Fault, Faults
from deploy.local.simulators.http import Handler, Request, Response, Router, json_response

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_LIMIT = 1_000
HINT_EVERY_S = 0.25
KEEP_ALIVE_S = 15.0
_HERE = Path(__file__).parent
_SECURITY = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
)
PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAIL_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


class Control:
    def __init__(
        self, arrivals: Arrivals, faults: Faults, apns: http2.Server, host: str, viewers: list[Network]
    ) -> None:
        """`viewers` are the networks whose machines may look and tell; `host` is a name they may use, as localhost."""
        self._arrivals, self._faults, self._apns = arrivals, faults, apns
        self._hosts = {"127.0.0.1", "localhost", "[::1]", host}
        self._viewers = viewers
        self._started_at = time.time()

    def add_routes(self, router: Router) -> None:
        for method, path, handler in (
            ("GET", "/", self.page),
            ("GET", "/page.css", self.style),
            ("GET", "/page.js", self.script),
            ("GET", "/icon.svg", self.icon),
            ("GET", "/messages/{id}/html", self.mail_html),
            ("GET", "/api/messages", self.list_messages),
            ("DELETE", "/api/messages", self.delete_messages),
            ("GET", "/api/messages/{id}", self.get_message),
            ("GET", "/api/stream", self.stream),
            ("GET", "/api/stats", self.stats),
            ("GET", "/api/faults", self.list_faults),
            ("POST", "/api/faults", self.add_fault),
            ("DELETE", "/api/faults", self.delete_faults),
        ):
            router.add(method, path, self._for_viewers(handler))
        router.add("GET", "/healthz", self.health)
        router.add("GET", "/metrics", self.metrics)

    async def page(self, request: Request) -> Response:
        return _file("page.html", "text/html; charset=utf-8", PAGE_CSP)

    async def style(self, request: Request) -> Response:
        return _file("page.css", "text/css; charset=utf-8")

    async def script(self, request: Request) -> Response:
        return _file("page.js", "text/javascript; charset=utf-8")

    async def icon(self, request: Request) -> Response:
        return _file("icon.svg", "image/svg+xml")

    async def mail_html(self, request: Request) -> Response:
        """The HTML part as its author wrote it, in a document that may do nothing: no script, no network, no origin."""
        arrival = self._find(request)
        if arrival is None or not arrival.mail or not arrival.mail["html"]:
            return json_response({"error": "no such message, or it has no HTML part"}, 404)
        html = arrival.mail["html"].encode("utf-8", "replace")
        headers = (("content-security-policy", MAIL_CSP), *_SECURITY)
        return Response(html, content_type="text/html; charset=utf-8", headers=headers)

    async def list_messages(self, request: Request) -> Response:
        """Newest first. `outcome` is accepted (default), refused or all."""
        query = request.query
        outcome = query.get("outcome", "accepted")
        after, limit = query.get("after", "0"), query.get("limit", "100")
        problems = {
            "outcome": "accepted, refused or all" if outcome not in ("accepted", "refused", "all") else "",
            "channel": f"one of {', '.join(CHANNELS)}" if query.get("channel", "fcm") not in CHANNELS else "",
            "after": "the id of a message" if not after.isdecimal() else "",
            "limit": f"1 to {MAX_LIMIT}" if not (limit.isdecimal() and 1 <= int(limit) <= MAX_LIMIT) else "",
        }
        known = {*problems, "to"}
        problems |= {name: "no such parameter" for name in query if name not in known}
        if any(problems.values()):
            return json_response({"error": {name: text for name, text in problems.items() if text}}, 400)
        items: list[dict[str, Any]] = []
        for arrival in self._arrivals.newest_first():
            if arrival.id <= int(after) or len(items) >= int(limit):
                break
            if _is_wanted(arrival, query.get("channel"), query.get("to"), outcome):
                items.append(arrival.as_json())
        return json_response({"items": items})

    async def get_message(self, request: Request) -> Response:
        arrival = self._find(request)
        return json_response(arrival.as_json()) if arrival else json_response({"error": "no such message"}, 404)

    async def delete_messages(self, request: Request) -> Response:
        self._arrivals.clear()
        return Response(status=204)

    async def stream(self, request: Request) -> Response:
        headers = (("x-accel-buffering", "no"), *_SECURITY)
        return Response(content_type="text/event-stream; charset=utf-8", headers=headers, stream=self._hints())

    async def _hints(self) -> AsyncIterator[bytes]:
        """Say that something changed, at most four times a second; the page then asks what."""
        version = self._arrivals.version
        yield b"retry: 1000\nevent: changed\ndata: {}\n\n"
        while True:
            latest = await self._arrivals.changed_since(version, KEEP_ALIVE_S)
            yield b"event: changed\ndata: {}\n\n" if latest != version else b": still here\n\n"
            version = latest
            await asyncio.sleep(HINT_EVERY_S)

    async def stats(self, request: Request) -> Response:
        return json_response(self._arrivals.stats())

    async def list_faults(self, request: Request) -> Response:
        return json_response({"items": self._faults.list()})

    async def add_fault(self, request: Request) -> Response:
        """A fault for the next requests; `now` (goaway, reset on apns) acts on every open connection at once."""
        if not request.headers.get("content-type", "").startswith("application/json"):
            return json_response({"error": "content-type: application/json"}, 415)
        try:
            fault = Fault.parse(json.loads(request.body))
            if fault.now and (fault.channel != "apns" or fault.kind not in ("goaway", "reset")):
                raise BadFault("now: only for goaway and reset on apns")
            if fault.now:
                ended = self._apns.go_away(fault.reason) if fault.kind == "goaway" else self._apns.reset()
                return json_response({"connections": ended}, 201)
            self._faults.add(fault)
        except (ValueError, RecursionError) as error:
            return json_response({"error": str(error)}, 400)
        return json_response({"id": fault.id}, 201)

    async def delete_faults(self, request: Request) -> Response:
        self._faults.clear()
        return Response(status=204)

    async def health(self, request: Request) -> Response:
        return json_response({"status": "ok", "pid": os.getpid(), "uptime_s": round(time.time() - self._started_at, 1)})

    async def metrics(self, request: Request) -> Response:
        stats = self._arrivals.stats()
        lines = [
            "# HELP simulator_messages_total Messages that arrived, by channel and outcome.",
            "# TYPE simulator_messages_total counter",
        ]
        for channel, outcomes in stats["channels"].items():
            for outcome, total in outcomes.items():
                lines.append(f'simulator_messages_total{{channel="{channel}",outcome="{outcome}"}} {total}')
        for name, value, text in (
            ("simulator_messages_kept", stats["kept"], "Messages held in memory."),
            ("simulator_messages_repeated", stats["repeated_count"], "Messages that arrived more than once."),
            ("simulator_apns_connections", len(self._apns.connections), "Open HTTP/2 connections."),
            ("simulator_faults", len(self._faults.list()), "Faults waiting to be used."),
        ):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name} {value}"]
        return Response("\n".join([*lines, ""]).encode(), content_type="text/plain; version=0.0.4; charset=utf-8")

    def _for_viewers(self, handler: Handler) -> Handler:
        """Refuse other machines, and pages of other sites that reached us by a name pointed at this address."""

        async def guarded(request: Request) -> Response:
            peer = ipaddress.ip_address(request.peer.removeprefix("::ffff:"))
            if not any(peer in network for network in self._viewers):
                return json_response({"error": f"{peer} is not one of SIMULATORS_VIEWERS"}, 403)
            if request.headers.get("host", "").rsplit(":", 1)[0] not in self._hosts:
                return json_response({"error": "host: 127.0.0.1, localhost or SIMULATORS_HOST"}, 403)
            return await handler(request)

        return guarded

    def _find(self, request: Request) -> Arrival | None:
        given = request.matched["id"]
        return self._arrivals.get(int(given)) if given.isdecimal() and len(given) < 20 else None


def _is_wanted(arrival: Arrival, channel: str | None, to: str | None, outcome: str) -> bool:
    return (
        (channel is None or arrival.channel == channel)
        and (to is None or arrival.to.lower() == to.lower())
        and outcome in ("all", arrival.outcome)
    )


def _file(name: str, content_type: str, csp: str = "default-src 'none'") -> Response:
    headers = (("content-security-policy", csp), *_SECURITY)
    return Response((_HERE / name).read_bytes(), content_type=content_type, headers=headers)
