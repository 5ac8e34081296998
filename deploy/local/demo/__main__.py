"""`python -m deploy.local.demo`: start the platform if it is not up, play the journey, leave the platform running."""

import os
import sys
import time

import requests

from deploy.local.demo.console import Console, Failed
from deploy.local.demo.journey import Journey
from deploy.local.demo.operator import Operator
from deploy.local.demo.phone import Phone
from deploy.local.environment import credentials
from deploy.local.server import ServerError
from deploy.local.settings import load
from deploy.local.stack import Stack


def main() -> int:
    """0: every step went as it must. 1: the platform or a step failed. 130: interrupted."""
    os.umask(0o077)
    console = Console()
    try:
        settings = load()
        Stack(settings).up([])
        base_url, app_id = settings.url_of("gateway"), credentials(settings).topic
        Journey(
            console,
            Operator(console, settings),
            android=Phone(console, base_url, "Android", "android", app_id),
            iphone=Phone(console, base_url, "iPhone", "ios", app_id),
        ).play()
    except Failed:
        print("\nThe journey ended here. `make logs` shows what the parts said; the platform is left running.")
        return 1
    except (ServerError, requests.RequestException) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"\nThe whole journey took {time.monotonic() - console.began:.1f} s, the platform's start included.")
    print(f"What the phones and the mailbox got:  {settings.url_of('simulators')}/")
    print("The platform is left running: `make status`, `make logs`, `make down`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
