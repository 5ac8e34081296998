"""JSON logs on stdout, one object a line, with request and trace id. The redaction here is the last net."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from shared import trace

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# A token or a password that slipped into a message, whatever wrote it.
SECRET = re.compile(
    r"eyJ[\w-]{6,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user:password in a URL
    r"|(?i:(?<=bearer )[^\s'\"]+|(?<=basic )[^\s'\"]+)"
    r"|(?i:(?P<name>(?:password|token|secret|api_?key)['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&,;}'\"]+))"
)
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
        line.update({name: _clean(name, value) for name, value in vars(record).items() if name not in STANDARD})
        if record.exc_info and record.exc_info[0]:
            line["error"] = redact("".join(traceback.format_exception(*record.exc_info)))
        text = json.dumps(line, ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair cannot be written


def configure(component: str, level: str = "INFO") -> None:
    """Send every logger of the process to stdout as JSON."""
    handler = logging.StreamHandler(sys.stdout)
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
