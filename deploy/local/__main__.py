"""`python -m deploy.local up|down|status|logs|clean|restart|dlq|run`; the Makefile's targets call it."""

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while importing there is nothing to undo, and no traceback to show
    from deploy.local.commands import main

    sys.exit(main())
