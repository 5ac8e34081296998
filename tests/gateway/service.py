"""The scripted peer as a process, so that it can be killed: `python -m tests.gateway.service` prints its port."""

import time

from tests.gateway.upstream import Received, Stream, Upstream, echo


def _slowly(request: Received, stream: Stream) -> None:
    time.sleep(0.01)
    echo(request, stream)


if __name__ == "__main__":
    upstream = Upstream()
    upstream.on("/killed/slow", _slowly)
    print(upstream.port, flush=True)
    time.sleep(600)
