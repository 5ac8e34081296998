"""Answers of others over HTTP, read within a time and a size: whoever drips holds no thread for longer."""

import time

import requests
from requests.exceptions import BaseHTTPError  # type: ignore[attr-defined]  # of urllib3, which nobody here names

CHUNK_BYTES = 16_384


class TooMuch(requests.RequestException):
    """More than was bargained for."""


def read(response: requests.Response, *, ends_at: float, max_bytes: int) -> bytes:
    """The whole body of a response that is streamed, if it is there by `ends_at` (of `time.monotonic`).

    What has come is taken as it comes: `iter_content` waits until a piece is full, however long that is. Raise
    requests.Timeout, TooMuch, or another requests.RequestException.
    """
    data = b""
    try:
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
            data += chunk
            if len(data) > max_bytes:
                raise TooMuch("the answer is too large")
            if time.monotonic() > ends_at:
                raise requests.Timeout("the answer comes too slowly")
    except BaseHTTPError as error:
        kind = requests.Timeout if time.monotonic() >= ends_at else requests.ConnectionError
        raise kind("the answer stopped halfway, or cannot be read") from error
    return data
