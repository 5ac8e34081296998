"""The verbs of `python -m deploy.local`: arguments in, exit status out."""

import argparse
import os
import signal
import sys

from deploy.local import logs
from deploy.local.environment import COMPONENTS
from deploy.local.parts import NAMES
from deploy.local.server import ServerError
from deploy.local.settings import load
from deploy.local.stack import Stack


def main() -> int:
    """0: done. 1: it failed, or for `status` something is not well. 130: interrupted."""
    arguments = parse()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    os.umask(0o077)
    try:
        return run(Stack(load()), arguments)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start the platform, or the named parts with all they need")
    up.add_argument("parts", nargs="*")
    verbs.add_parser("down", help="stop what `up` started; the data stays")
    verbs.add_parser("status", help="one table with memory, and the figures of the last start")
    follow = verbs.add_parser("logs", help="follow the log files of all or the named parts")
    follow.add_argument("parts", nargs="*")
    follow.add_argument("--no-follow", action="store_true", help="print the last lines and end")
    verbs.add_parser("clean", help="stop everything and remove the folder with all data")
    restart = verbs.add_parser("restart", help="stop and start the named parts")
    restart.add_argument("parts", nargs="+")
    dlq = verbs.add_parser("dlq", help="dead letters: what `python -m shared.dlq` does, as the broker's administrator")
    dlq.add_argument("arguments", nargs=argparse.REMAINDER)
    command = verbs.add_parser("run", help="run a command with the environment of a component")
    command.add_argument("component", choices=COMPONENTS)
    command.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


def run(stack: Stack, arguments: argparse.Namespace) -> int:
    match arguments.verb:
        case "up":
            stack.up(known(arguments.parts))
        case "down":
            stack.down()
        case "status":
            return 0 if stack.status() else 1
        case "logs":
            logs.show(stack.settings.logs, arguments.parts, is_followed=not arguments.no_follow)
        case "clean":
            stack.clean()
        case "restart":
            stack.restart(known(arguments.parts))
        case "dlq":
            os.environ["AMQP_URL"] = stack.admin_amqp_url()
            os.execv(sys.executable, [sys.executable, "-m", "shared.dlq", *arguments.arguments])  # noqa: S606
        case "run":
            os.environ.update(stack.component_environment(arguments.component))
            os.execvp(arguments.command[0], arguments.command)  # noqa: S606 - the caller's own command
    return 0


def known(names: list[str]) -> list[str]:
    """Raise ServerError for a part that does not exist."""
    if wrong := [name for name in names if name not in NAMES]:
        raise ServerError(f"There is no part {', '.join(wrong)}. The parts are: {', '.join(NAMES)}.")
    return names
