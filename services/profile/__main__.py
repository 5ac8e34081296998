"""`python -m services.profile serve|worker|migrate`."""

import argparse
import os
import sys

from services.profile import worker
from services.profile.config import MIGRATIONS, ProfileSettings
from shared import logs
from shared.migrations import migrate
from shared.postgres import Database, wait_until_ready
from shared.settings import load

SERVE = ("gunicorn", "-c", "shared/gunicorn_conf.py", "services.profile.app:create_app()")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.profile")
    parser.add_argument("verb", choices=["serve", "worker", "migrate"])
    verb = parser.parse_args().verb
    settings = load(ProfileSettings)
    if verb == "serve":
        os.execv(sys.executable, [sys.executable, "-m", *SERVE])  # noqa: S606 — becomes gunicorn
    if verb == "worker":
        return worker.run(settings)
    logs.configure("profile-migrate", settings.log_level)
    db = Database(settings.database_url.get_secret_value(), size=1, application_name="profile-migrate")
    wait_until_ready(db, timeout_s=30)
    applied = migrate(db, MIGRATIONS)
    print(f"profile: {len(applied)} migration(s) applied")
    return 0


if __name__ == "__main__":
    sys.exit(main())
