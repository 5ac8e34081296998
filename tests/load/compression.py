"""What compressing an answer costs and saves, for choosing levels and `min_bytes`: `python -m tests.load.compression`.

CPU time of this process alone, lowest of some rounds; the documents are lists of rows as an app's are. `whole` is an
answer that comes in one piece, `stream` one in pieces of 64 KiB, each flushed.
"""

import json
import random
import time
from collections.abc import Callable
from uuid import UUID

from gateway.codings import CODINGS
from gateway.compression import MOST_WHOLE_BYTES, pack, stream

SIZES = (1_000, 1_400, 4_000, 10_000, 100_000, 1_000_000)
PIECE = 65_536
WORDS = ["ask", "again", "app", "brown", "data", "dog", "for", "fox", "jumps", "lazy", "many", "more", "over", "quick"]
ROUNDS = 7


def document(size: int) -> bytes:
    """At least so many bytes of JSON, the same in every run."""
    chance = random.Random(size)
    rows: list[dict[str, object]] = []
    while len(data := json.dumps({"items": rows}).encode()) < size:
        for _ in range(max(1, (size - len(data)) // 300)):
            text = " ".join(chance.choice(WORDS) for _ in range(12))
            made_at = f"2026-11-{chance.randrange(1, 29):02d}T12:{chance.randrange(60):02d}:00Z"
            row = {"id": str(UUID(int=chance.getrandbits(128))), "made_at": made_at, "text": text}
            rows.append({**row, "done": chance.random() < 0.5})
    return data


def streamed(coding: bytes, data: bytes) -> bytes:
    compressor = stream(coding)
    pieces = [compressor.add(data[start : start + PIECE]) for start in range(0, len(data), PIECE)]
    return b"".join(pieces) + compressor.end()


def cost_us(work: Callable[[bytes, bytes], bytes], coding: bytes, data: bytes) -> float:
    """Microseconds a call."""
    calls = max(1, 500_000 // len(data))
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(calls):
            work(coding, data)
        best = min(best, (time.process_time() - started) / calls)
    return best * 1e6


def main() -> None:
    ways = [(name, work, coding) for coding in CODINGS for name, work in (("whole", pack), ("stream", streamed))]
    heads = [f"{coding.decode()} {name}" for name, _, coding in ways]
    print("| JSON bytes | " + " | ".join(heads) + " |\n|---|" + "---|" * len(heads))
    for size in SIZES:
        data = document(size)
        cells = [
            "–" if work is pack and size > MOST_WHOLE_BYTES
            else f"{cost_us(work, coding, data):,.0f} µs, {len(work(coding, data)):,}"
            for _, work, coding in ways
        ]  # fmt: skip
        print(f"| {len(data):,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
