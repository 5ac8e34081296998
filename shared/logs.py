"""JSON logs on stdout, one object a line, with request and trace id. The redaction here is the last net."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from shared import trace

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# A token or a password that slipped into a message, whatever wrote it.
SECRET = re.compile(
    r"eyJ[\w-]{6,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user:password in a URL
    r"|(?i:(?<=bearer )\S+)"
    r"|(?i:(?<=password=)[^\s&]+|(?<=token=)[^\s&]+|(?<=secret=)[^\s&]+)"
)


def redact(text: str) -> str:
    return SECRET.sub("[redacted]", text)


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
            "message": record.getMessage(),
        }
        if request_id := trace.request_id.get():
            line["request_id"] = request_id
        if trace_id := trace.trace_id():
            line["trace_id"] = trace_id
        line.update({name: value for name, value in vars(record).items() if name not in STANDARD})
        if record.exc_info and record.exc_info[0]:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        return redact(json.dumps(line, default=str, ensure_ascii=False))


def configure(component: str, level: str = "INFO") -> None:
    """Send every logger of the process to stdout as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(component))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("pika").setLevel(
        "CRITICAL"
    )  # it logs a stack trace for every refused connection; we log one line
    logging.getLogger("urllib3").setLevel("WARNING")
