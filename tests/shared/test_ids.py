"""Ids are UUIDv7 (RFC 9562): unique over threads, and in the order of their time."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from shared.ids import new_id


def test_an_id_is_a_uuid_of_version_7_that_carries_the_time() -> None:
    made = new_id()
    assert type(made) is UUID and made.version == 7
    assert abs((made.int >> 80) - time.time() * 1000) < 2000


def test_ids_made_by_many_threads_are_unique_and_those_of_one_thread_ascend() -> None:
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [new_id() for _ in range(2000)], range(8)))
    assert len({one for batch in batches for one in batch}) == 16_000
    assert all(batch == sorted(batch) for batch in batches)
