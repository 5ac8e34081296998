"""The kinds of values that stand in `routes.yaml`, for every module that says what its part of the table may hold."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+|\{[a-z_]+\}")


def _path(value: str) -> str:
    if not value.startswith("/") or value != value.rstrip("/"):
        raise ValueError("begins with a slash and does not end with one")
    for segment in value.split("/")[1:]:
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise ValueError(f"segment {segment!r} is neither plain letters, digits and ._~- nor one {{name}}")
    return value


def address(value: str) -> str:
    """An upstream's, or the `${NAME}` of one. Raise ValueError."""
    if NAME.fullmatch(value):
        return value
    parts = urlsplit(value)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError("an upstream is http://host:port, nothing more")
    _ = parts.port
    return value


class Strict(BaseModel):
    """A part of the table: what it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


PathTemplate = Annotated[str, AfterValidator(_path), Field(json_schema_extra={"pattern": "^(/[A-Za-z0-9._~{}-]+)+$"})]
Address = Annotated[
    str, AfterValidator(address), Field(json_schema_extra={"pattern": r"^http://|^\$\{[A-Z][A-Z0-9_]*\}$"})
]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Percent = Annotated[int, Field(ge=0, le=100)]
