"""`python -m tests.load [gateway] [crowds] [events] [logins] [auth]`: tables here, figures in bench-results/*.json."""

import json
import subprocess
import sys
from dataclasses import asdict

from tests.load import auth, events, logins
from tests.support.databases import ROOT

RESULTS = ROOT / "bench-results"
# Each in a process of its own: they pin themselves and their children to cores. By the name of the file they write.
GATEWAY = {
    "gateway": ["tests.load.gateway"],
    "gateway-varied": ["tests.load.gateway", "--varied", "--only", "haproxy", "gateway", "--seconds", "2"],
    "gateway-cost": ["tests.load.gateway", "--cost", "--rounds", "12", "--seconds", "1"],
    "gateway-steady": ["tests.load.gateway", "--steady", "--seconds", "2"],
    "gateway-workers": ["tests.load.gateway", "--workers", "--seconds", "2"],
    "gateway-in-process": ["tests.load.in_process"],
}


def main(names: list[str]) -> int:
    RESULTS.mkdir(exist_ok=True)
    for name in names or [
        "gateway",
        "crowds",
        "events",
        "logins",
        "auth",
    ]:  # auth is last: it keeps this process on one core
        if name == "gateway":
            measure_gateway()
            continue
        if name == "crowds":
            command = [sys.executable, "-m", "tests.load.crowds", "--json", str(RESULTS / "crowds.json")]
            subprocess.run(command, cwd=ROOT, check=True)
            continue
        print(f"\n{name}", flush=True)
        figures = asdict({"events": events, "logins": logins, "auth": auth}[name].measure())
        (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
        for figure, value in figures.items():
            print(f"  {figure:<18} {value}")
    return 0


def measure_gateway() -> None:
    for name, command in GATEWAY.items():
        print(f"\n{' '.join(command)}", flush=True)
        file = str(RESULTS / f"{name}.json")
        subprocess.run([sys.executable, "-m", *command, "--json", file], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
