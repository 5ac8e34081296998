"""What was promised of every event: its schema and one example as it was first sent, kept in `events/<type>.json`.

    python -m tests.contracts.recorded

writes down new events and added fields; it refuses what an older reader or writer would not understand.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shared.contracts import EVENTS, Envelope

FOLDER = Path(__file__).parent / "events"
ONLY_WORDS = {"title", "description", "default", "examples"}
SAMPLES = {"uuid": "0190f5fe-7c00-7a00-8000-000000000001", "date-time": "2026-11-22T12:00:00Z"}


def models() -> dict[str, type[BaseModel]]:
    return {"envelope": Envelope, **EVENTS}


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema without what is only said to people."""
    bare: dict[str, Any] = _without_words(model.model_json_schema())
    return bare


def _without_words(node: Any, is_properties: bool = False) -> Any:
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if is_properties or key not in ONLY_WORDS}
        return {key: _without_words(value, key == "properties" and not is_properties) for key, value in kept.items()}
    return [_without_words(item) for item in node] if isinstance(node, list) else node


def breaks(promised: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Why a reader of the promise could not read what is written now, or the other way round."""
    found = []
    for name, promise in promised["properties"].items():
        if name not in now["properties"]:
            found.append(f"the field {name} is gone")
        elif now["properties"][name] != promise:
            found.append(f"the field {name} was {json.dumps(promise)} and is {json.dumps(now['properties'][name])}")
    was, is_now = set(promised.get("required", [])), set(now.get("required", []))
    found += [f"the field {name} may be missing now" for name in sorted(was - is_now)]
    found += [f"the field {name} is demanded now, and events on their way lack it" for name in sorted(is_now - was)]
    return found


def read(event_type: str) -> dict[str, Any] | None:
    """`{"schema", "example"}` as promised, or None."""
    file = FOLDER / f"{event_type}.json"
    record: dict[str, Any] | None = json.loads(file.read_text()) if file.exists() else None
    return record


def example(event_type: str) -> dict[str, Any]:
    """One event in its envelope, every field filled."""
    data = {name: _sample(field) for name, field in schema(EVENTS[event_type])["properties"].items()}
    event = EVENTS[event_type].model_validate(data)
    envelope = Envelope.of(event, source="auth" if event.source == "any" else event.source)
    fixed = {
        "id": SAMPLES["uuid"],
        "time": SAMPLES["date-time"],
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return envelope.model_dump(mode="json") | fixed


def _sample(field: dict[str, Any]) -> Any:
    field = next((option for option in field.get("anyOf", []) if option.get("type") != "null"), field)
    if "const" in field or "enum" in field:
        return field.get("const", field.get("enum", [None])[0])
    match field.get("type"):
        case "array":
            return [_sample(field["items"])]
        case "object":
            return {"name": "value"}
        case "integer":
            return 7
        case "boolean":
            return True
    return SAMPLES.get(field.get("format", ""), "text")


def main() -> int:
    refused = []
    for name, model in models().items():
        promised, now = read(name), schema(model)
        if promised and (broken := breaks(promised["schema"], now)):
            refused += [f"{name}: {reason}" for reason in broken]
            continue
        sample = promised["example"] if promised else example(next(iter(EVENTS)) if name == "envelope" else name)
        text = json.dumps({"schema": now, "example": sample}, indent=2, ensure_ascii=False)
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{name}.json").write_text(text + "\n")
    sys.stdout.write("".join(f"{line}\n" for line in refused))
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
