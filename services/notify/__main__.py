"""The verbs of the notify service: `python -m services.notify serve | worker | migrate | templates …`."""

import argparse
import os
import sys

from services.notify import templates_command, worker
from services.notify.config import MIGRATIONS, NotifySettings
from services.notify.mail_settings import MailSettings
from shared import logs
from shared.migrations import migrate
from shared.postgres import Database, wait_until_ready
from shared.settings import load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.notify", description="Devices, push and mail.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="serve | worker | migrate | templates")
    for verb in ("serve", "worker", "migrate"):
        verbs.add_parser(verb)
    templates_command.add_arguments(verbs.add_parser("templates"))
    arguments = parser.parse_args()
    if arguments.verb == "serve":
        command = ["gunicorn", "-c", "shared/gunicorn_conf.py", "services.notify.app:create_app()"]
        os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 — becomes gunicorn
    if arguments.verb == "templates":
        return templates_command.run(arguments, load(MailSettings), print)
    settings = load(NotifySettings)
    if arguments.verb == "worker":
        return worker.run(settings)
    logs.configure("notify-migrate", settings.log_level)
    database = Database(settings.database_url.get_secret_value(), size=1, application_name="notify-migrate")
    wait_until_ready(database, timeout_s=30)
    print(f"notify: {len(migrate(database, MIGRATIONS))} migration(s) applied")
    return 0


if __name__ == "__main__":
    sys.exit(main())
