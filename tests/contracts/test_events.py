"""Events are promises between services that are deployed one at a time: fields are only ever added."""

import inspect
import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import BaseModel, create_model

from deploy.local.broker_permissions import PUBLISHES, READS
from shared import asyncapi, contracts
from shared.contracts import EVENTS, READERS, Envelope, Event
from tests.contracts import recorded
from tests.contracts.components import COMPONENTS, GATEWAY, ROOT, Component
from tests.contracts.test_readmes import consumed, emitted

SERVICES = [component for component in COMPONENTS if component != GATEWAY]
each_event = pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.type)
each_service = pytest.mark.parametrize("component", SERVICES, ids=lambda component: component.name)


def promise(name: str) -> dict[str, Any]:
    found = recorded.read(name)
    assert found, f"{name} is not written down: run `python -m tests.contracts.recorded` and commit what it writes"
    return found


@pytest.mark.parametrize("name", recorded.models())
def test_what_was_promised_is_kept(name: str) -> None:
    now = recorded.schema(recorded.models()[name])
    assert recorded.breaks(promise(name)["schema"], now) == []
    assert promise(name)["schema"] == now, "a field was added: run `python -m tests.contracts.recorded`"


def test_no_promised_event_is_gone() -> None:
    assert {file.stem for file in recorded.FOLDER.glob("*.json")} <= recorded.models().keys()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": (str, ...), "count": (int | None, None)}, []),
        ({"name": (str, ...), "count": (int | None, None), "more": (str, "")}, []),
        ({"name": (str, ...)}, ["count is gone"]),
        ({"name": (int, ...), "count": (int | None, None)}, ["name was"]),
        ({"name": (str, ""), "count": (int | None, None)}, ["name may be missing"]),
        ({"name": (str, ...), "count": (int | None, None), "more": (str, ...)}, ["more is demanded"]),
    ],
    ids=["same", "added", "removed", "another type", "optional", "a new duty"],
)
def test_a_broken_promise_is_noticed(fields: dict[str, Any], reason: list[str]) -> None:
    before: type[BaseModel] = create_model("Before", name=(str, ...), count=(int | None, None))
    found = recorded.breaks(recorded.schema(before), recorded.schema(create_model("After", **fields)))
    assert len(found) == len(reason) and all(word in line for word, line in zip(reason, found, strict=True))


@each_event
def test_the_first_example_of_an_event_is_still_understood(event: type[Event]) -> None:
    envelope = Envelope.model_validate_json(json.dumps(promise(event.type)["example"]))
    assert envelope.type == event.type
    read = event.model_validate(envelope.data)
    assert str(getattr(read, event.subject)) == envelope.subject
    again = Envelope.of(read, source=envelope.source)
    back = Envelope.model_validate_json(again.model_dump_json()).data
    assert back | envelope.data == back, "there and back unchanged, but for fields that were added since"


@each_event
def test_fields_that_a_newer_writer_added_are_ignored(event: type[Event]) -> None:
    sent = promise(event.type)["example"] | {"newattribute": 1}
    sent["data"] = sent["data"] | {"new_field": {"deep": []}}
    assert "new_field" not in event.model_validate(Envelope.model_validate(sent).data).model_dump()


@each_event
def test_an_event_is_named_noun_verbed_and_is_about_an_entity_with_an_id(event: type[Event]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z_]+ed", event.type)
    field = event.model_fields[event.subject]
    assert field.annotation is UUID and field.is_required()
    assert inspect.getdoc(event) != inspect.getdoc(Event), "its docstring says what has happened"


@each_event
def test_an_envelope_is_a_cloudevent_with_a_time_in_utc(event: type[Event]) -> None:
    example = promise(event.type)["example"]
    sent = json.loads(Envelope.of(event.model_validate(example["data"]), source=example["source"]).model_dump_json())
    assert sent["specversion"] == "1.0" and sent["datacontenttype"] == "application/json"
    assert UUID(sent["id"]).version == 7 and sent["time"].endswith("Z")
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", attribute) for attribute in sent), "CloudEvents 1.0, section 3.1"


def test_every_event_class_is_in_the_list() -> None:
    classes = {value for value in vars(contracts).values() if inspect.isclass(value) and issubclass(value, Event)}
    assert classes - {Event} == set(EVENTS.values())


@each_service
def test_a_service_emits_only_its_own_events_and_the_broker_lets_it(component: Component) -> None:
    for event_type in emitted(component):
        assert EVENTS[event_type].source in (component.name, "any"), event_type
        assert any(fnmatchcase(event_type, topic) for topic in PUBLISHES[component.name]), event_type


@each_service
def test_the_broker_lets_a_service_read_what_it_consumes(component: Component) -> None:
    for event_type in consumed(component):
        assert any(fnmatchcase(event_type, topic) for topic in READS[component.name]), event_type


@each_event
def test_the_readers_an_event_waits_for_are_those_that_have_a_handler_for_it(event: type[Event]) -> None:
    reading = {component.name for component in SERVICES if event.type in consumed(component)}
    assert set(READERS[event.type]) == reading
    told = {name for name in asyncapi.document()["operations"] if name.endswith(f" reads {event.type}")}
    assert told == {f"{service} reads {event.type}" for service in reading}


def test_every_promised_event_is_emitted_by_somebody() -> None:
    assert EVENTS.keys() == {event_type for component in SERVICES for event_type in emitted(component)}


def test_the_asyncapi_document_has_every_event_and_its_examples_hold() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "shared.asyncapi"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    document = json.loads(printed.stdout)
    assert document == asyncapi.document() and document["asyncapi"] == "3.0.0"
    assert document["channels"].keys() == EVENTS.keys()
    for event_type, event in EVENTS.items():
        wrapped = {**document, "$ref": f"#/components/schemas/{event.__name__}Envelope"}
        validator = jsonschema.Draft202012Validator(wrapped, format_checker=jsonschema.FormatChecker())
        example = promise(event_type)["example"]
        validator.validate(example)
        assert not validator.is_valid({**example, "type": "other.happened"})
        assert not validator.is_valid({**example, "data": {}})
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', printed.stdout):
        node: Any = document
        for part in reference.split("/"):
            node = node[part]
