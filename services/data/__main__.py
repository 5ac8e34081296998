"""`python -m services.data serve|worker|migrate`."""

import argparse
import os
import sys
import time

from services.data import schema, worker
from services.data.config import DataSettings
from services.data.mongo import Database
from shared import logs
from shared.errors import Unavailable
from shared.settings import load

SERVE = ("gunicorn", "-c", "shared/gunicorn_conf.py", "services.data.app:create_app()")
START_TIMEOUT_S = 30


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.data")
    parser.add_argument("verb", choices=["serve", "worker", "migrate"])
    verb = parser.parse_args().verb
    settings = load(DataSettings)
    if verb == "serve":
        os.execv(sys.executable, [sys.executable, "-m", *SERVE])  # noqa: S606 — becomes gunicorn
    if verb == "worker":
        return worker.run(settings)
    logs.configure("data-migrate", settings.log_level)
    db = Database(settings.mongo_url.get_secret_value(), settings.mongo_database)
    _wait_until_ready(db)
    applied = schema.migrate(db)
    print(f"data: {len(applied)} migration(s) applied")
    return 0


def _wait_until_ready(db: Database) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return db.check()
        except Unavailable:
            if time.monotonic() > deadline:
                raise


if __name__ == "__main__":
    sys.exit(main())
