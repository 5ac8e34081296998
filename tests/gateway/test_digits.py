"""Ids are cut from blocks of random digits: no digit is given out twice, in no process."""

import os

from gateway.digits import BLOCK_BYTES, Digits
from gateway.forwarding import continue_trace

HEX = set(b"0123456789abcdef")


def test_ids_go_on_beyond_a_block_and_none_comes_twice() -> None:
    digits = Digits()
    taken = [digits.take(48) for _ in range(BLOCK_BYTES)]
    assert all(len(one) == 48 and set(one) <= HEX for one in taken)
    assert len(set(taken)) == len(taken)


def test_a_forked_process_has_digits_of_its_own() -> None:
    digits = Digits()
    digits.take(1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, digits.take(48))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 48) != digits.take(48)
    os.close(reading)
    os.close(writing)


def test_a_new_trace_has_a_traceparent_as_w3c_wants_it() -> None:
    version, trace, span, flags = continue_trace(None).split(b"-")
    assert (version, len(trace), len(span), flags) == (b"00", 32, 16, b"01")
    assert set(trace) | set(span) <= HEX
