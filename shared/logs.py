"""JSON logs on stdout, one object a line, with request and trace id. The redaction here is the last net."""

import json
import logging
import re
import sys
import threading
import time
import traceback
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

from shared import trace

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# A token or a password that slipped into a message, whatever wrote it.
SECRET = re.compile(
    r"eyJ[\w-]{6,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user:password in a URL
    r"|(?i:(?<=bearer )[^\s'\"]+|(?<=basic )[^\s'\"]+)"
    r"|(?i:(?P<name>(?:password|token|secret|api_?key)['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&,;}'\"]+))"
)
BATCH_S = 0.05
FIELDS = "fields"  # `extra={FIELDS: {…}}`: numbers, route templates and ids, nothing that anybody else wrote
PLAIN, COLLECTIONS = (int, float, type(None)), (list, tuple, set, frozenset)
SECRET_NAME = re.compile(r"(?i)(password|secret|token|authorization|api_?key)$")


def redact(text: str) -> str:
    return SECRET.sub(lambda match: (match["name"] or "") + "[redacted]", text)


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def _clean(name: str, value: Any) -> Any:
    """The value with every secret in it replaced: before it becomes JSON, so that the line stays JSON."""
    if _is_secret(name):
        return "[redacted]"
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, dict):
        return {str(key): _clean(str(key), item) for key, item in value.items()}
    if isinstance(value, COLLECTIONS):
        return [_clean("", item) for item in value]
    return redact(str(value))


class JsonFormatter(logging.Formatter):
    """`extra={…}` becomes fields of the object."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self.component = component

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "component": self.component,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if request_id := trace.request_id.get():
            line["request_id"] = request_id
        if trace_id := trace.trace_id():
            line["trace_id"] = trace_id
        fields = vars(record).get(FIELDS)
        line.update(fields if fields is not None else self._fields(record))
        if record.exc_info and record.exc_info[0]:
            line["error"] = redact("".join(traceback.format_exception(*record.exc_info)))
        text = json.dumps(line, ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair cannot be written

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        return {name: _clean(name, value) for name, value in vars(record).items() if name not in STANDARD}


class BatchingHandler(logging.Handler):
    """Lines go out together, at most `BATCH_S` late; a warning or worse goes at once, after what waited before it.

    A write for each line would hand Python's one lock from thread to thread in the middle of every request, which costs
    more than the rest of the logging.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._has_lines = threading.Event()
        self._writer: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record))
        except Exception:
            self.handleError(record)
        if record.levelno > logging.INFO:
            self.flush()
        elif not self._has_lines.is_set():
            self._wake()

    def flush(self) -> None:
        """Write what waits; also called when the process ends."""
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            self._has_lines.clear()
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()

    def _wake(self) -> None:
        """Called under the handler's lock. The thread starts with the first line: before it the process may fork."""
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="log", daemon=True)
            self._writer.start()
        self._has_lines.set()

    def _write(self) -> None:
        while True:
            self._has_lines.wait()
            time.sleep(BATCH_S)
            with suppress(OSError, ValueError):  # whoever read the log has gone
                self.flush()


def configure(component: str, level: str = "INFO") -> None:
    """Send every logger of the process to stdout as JSON."""
    handler = BatchingHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(component))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # What no line shows is not looked for: the caller's place in the source, its thread and process.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # pika logs a stack trace for every refused connection; we log one line.
    logging.getLogger("pika").setLevel("CRITICAL")
    logging.getLogger("urllib3").setLevel("WARNING")
