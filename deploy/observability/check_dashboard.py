"""Run every query of the dashboard against a running platform, with a Prometheus of its own.

`python -m deploy.observability.check_dashboard` asks the platform of `make up`; other addresses can be given instead:
`… gateway=host:port auth=host:port auth-worker=host:port rabbitmq=host:port`. It prints a line for each query and ends
with 1 if one of them returned no data. Needs the program `prometheus` (Debian's package of that name).
"""

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from deploy.local import settings as local_settings
from deploy.local.ports import free_ports
from deploy.observability import scrape

DASHBOARD = Path(__file__).with_name("dashboard.json")
INTERVAL_S = 1.0


@dataclass(frozen=True)
class Query:
    panel: str
    expression: str


@dataclass(frozen=True)
class Answer:
    query: Query
    values: list[float]

    @property
    def has_data(self) -> bool:
        return bool(self.values)

    @property
    def has_numbers(self) -> bool:
        """Also true numbers: a quantile of nothing is NaN, which a panel draws as a gap."""
        return any(not math.isnan(value) for value in self.values)


def queries(dashboard: Path = DASHBOARD) -> Iterator[Query]:
    for panel in json.loads(dashboard.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield Query(panel["title"], target["expr"])


class Prometheus:
    """`with Prometheus(targets, rabbitmq) as prometheus:` - scrapes every second for as long as the block runs.

    Enter it before the platform does what the panels show: a rate needs two samples. Raises FileNotFoundError without
    the program, RuntimeError when it does not start.
    """

    def __init__(self, targets: scrape.Targets, rabbitmq: str | None) -> None:
        self.targets, self.rabbitmq = targets, rabbitmq
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if shutil.which("prometheus") is None:
            raise FileNotFoundError("The program `prometheus` is missing: apt-get install prometheus.")
        self._folder = tempfile.TemporaryDirectory(prefix="gatehouse-prometheus-")
        folder = Path(self._folder.name)
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(scrape.configuration(self.targets, self.rabbitmq, interval_s=INTERVAL_S)))
        (self.port,) = free_ports(1)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 30
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                end = (folder / "log").read_text()[-2000:]
                self.__exit__(None, None, None)
                raise RuntimeError(f"Prometheus does not start:\n{end}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
        self._folder.cleanup()

    def ask(self, expression: str) -> list[float]:
        """The values of an instant query; Grafana's own variables are replaced. Raise ValueError if it is refused."""
        expression = re.sub(r"\$__(rate_)?interval", "5m", expression)
        try:
            answer = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        except urllib.error.HTTPError as error:
            raise ValueError(f"{expression}: {json.load(error).get('error')}") from None
        return [float(sample["value"][1]) for sample in answer["data"]["result"]]

    def down(self) -> list[str]:
        """Targets that the last scrape did not reach."""
        targets = self._get("/api/v1/targets?state=active")["data"]["activeTargets"]
        return [f"{target['scrapeUrl']}: {target['lastError']}" for target in targets if target["health"] == "down"]

    def run(self, dashboard: Path = DASHBOARD) -> list[Answer]:
        """Every query of the dashboard with what it returns now."""
        return [Answer(query, self.ask(query.expression)) for query in queries(dashboard)]

    def _is_ready(self) -> bool:
        """Every target was scraped once; Prometheus takes up its targets five seconds after it answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2):
                pass
            return self.ask("count(up)") == [len(self.targets) + (2 if self.rabbitmq else 0)]
        except OSError:
            return False

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return json.load(answer)


def parse_targets(arguments: list[str]) -> tuple[scrape.Targets, str | None]:
    """`auth=host:port`, `auth-worker=host:port`, `rabbitmq=host:port`; none at all means the local platform."""
    if not arguments:
        settings = local_settings.load()
        return scrape.local_targets(settings), settings.address_of("rabbitmq-prometheus")
    named = dict(argument.split("=", 1) for argument in arguments)
    rabbitmq = named.pop("rabbitmq", None)
    return {
        (name.removesuffix("-worker"), "worker" if name.endswith("-worker") else "web"): address
        for name, address in named.items()
    }, rabbitmq


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.observability.check_dashboard")
    parser.add_argument("targets", nargs="*", metavar="part=host:port", help="default: the platform of `make up`")
    parser.add_argument("--seconds", type=float, default=10, help="how long to scrape before asking")
    options = parser.parse_args()
    with Prometheus(*parse_targets(options.targets)) as prometheus:
        time.sleep(options.seconds)
        answers, down = prometheus.run(), prometheus.down()
    lines = [f"DOWN     {target}" for target in down]
    for answer in answers:
        shown = ", ".join(f"{value:.4g}" for value in answer.values[:6])
        lines.append(
            f"{'ok     ' if answer.has_data else 'NO DATA'}  {answer.query.panel}: {shown or answer.query.expression}"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if down or not all(answer.has_data for answer in answers) else 0


if __name__ == "__main__":
    sys.exit(main())
