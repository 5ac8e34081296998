"""What a document and its names may be: rules without I/O."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, StringConstraints, WithJsonSchema

from shared.errors import FieldError, PayloadTooLarge, ValidationFailed

MAX_DOCUMENT_BYTES = 262_144
MAX_DEPTH = 24
MAX_KEY_BYTES = 256
MAX_ERRORS = 20
RESERVED = frozenset({"files", "members", "spaces", "system"})
RESERVED_PREFIX = "gatehouse_"


@dataclass(frozen=True)
class Content:
    """An acceptable document. Equal digests mean equal JSON, whatever the order of names."""

    body: dict[str, Any]
    size_bytes: int
    digest: bytes


def content_of(document: dict[str, Any], pointer: str) -> Content:
    """Judge a document. Raise ValidationFailed with the first wrong places below `pointer`, or PayloadTooLarge."""
    errors = list(islice(_problems(document, pointer, 1), MAX_ERRORS))
    if errors:
        raise ValidationFailed(f"{errors[0].pointer}: {errors[0].detail}", errors=errors)
    canonical = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    if len(canonical) > MAX_DOCUMENT_BYTES:
        detail = f"must be at most {MAX_DOCUMENT_BYTES} bytes of compact JSON"
        raise PayloadTooLarge(
            f"{pointer}: {detail}", code="document_too_large", errors=[FieldError(detail=detail, pointer=pointer)]
        )
    return Content(document, len(canonical), hashlib.sha256(canonical).digest())


def _problems(value: Any, pointer: str, depth: int) -> Iterator[FieldError]:
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        yield FieldError(detail=f"must not be nested deeper than {MAX_DEPTH} levels", pointer=pointer)
    elif isinstance(value, dict):
        for key, child in value.items():
            place = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            if detail := _problem_of_key(key):
                yield FieldError(detail=detail, pointer=place[:300])
            else:
                yield from _problems(child, place, depth + 1)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _problems(child, f"{pointer}/{index}", depth + 1)


def _problem_of_key(key: str) -> str | None:
    """Names the database would take for operators or paths; they would also stand in the way of queries on fields."""
    if not key:
        return "must not be an empty name"
    if key.startswith("$") or "." in key or "\x00" in key:
        return "must be a name that neither begins with $ nor holds a dot or U+0000"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"must be a name of at most {MAX_KEY_BYTES} bytes"
    return None


def _not_reserved(name: str) -> str:
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise ValueError("is a reserved name")
    return name


Collection = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$"),
    AfterValidator(_not_reserved),
]
# None stands for the caller's private space.
SpaceRef = Annotated[
    UUID | None,
    BeforeValidator(lambda value: None if value == "me" else value),
    WithJsonSchema({"type": "string", "pattern": "^(me|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"}),
]
