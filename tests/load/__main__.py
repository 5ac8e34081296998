"""`python -m tests.load [gateway] [events] [logins]`: tables on the screen, figures in bench-results/*.json."""

import json
import subprocess
import sys
from dataclasses import asdict

from tests.load import events, logins
from tests.support.databases import ROOT

RESULTS = ROOT / "bench-results"


def main(names: list[str]) -> int:
    RESULTS.mkdir(exist_ok=True)
    for name in names or ["gateway", "events", "logins"]:
        file = RESULTS / f"{name}.json"
        print(f"\n{name}", flush=True)
        if name == "gateway":
            # A process of its own: it pins itself and its children to cores.
            subprocess.run([sys.executable, "-m", "tests.load.gateway", "--json", str(file)], cwd=ROOT, check=True)
            continue
        figures = asdict({"events": events, "logins": logins}[name].measure())
        file.write_text(json.dumps(figures, indent=2) + "\n")
        for figure, value in figures.items():
            print(f"  {figure:<18} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
