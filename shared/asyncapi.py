"""The AsyncAPI 3.0 document of all events, made from the contracts: `python -m shared.asyncapi > asyncapi.json`."""

import inspect
import json
import sys
from typing import Any

from shared.contracts import EVENTS, EXCHANGE, READERS, Envelope, Event
from shared.topology import queue_name

SCHEMAS = "#/components/schemas/"


def document() -> dict[str, Any]:
    """A channel for each event type; its message is the CloudEvents envelope with that event's `data`."""
    exchange = {"name": EXCHANGE, "type": "topic", "durable": True}
    schemas: dict[str, Any] = {}
    messages, channels, operations = {}, {}, {}
    for event_type, event in sorted(EVENTS.items()):
        name = event.__name__
        schemas[name] = _schema(event, schemas)
        schemas[f"{name}Envelope"] = _envelope(event, schemas)
        messages[name] = {
            "name": event_type,
            "title": name,
            "summary": inspect.getdoc(event),
            "contentType": "application/cloudevents+json",
            "payload": {"$ref": f"{SCHEMAS}{name}Envelope"},
        }
        channels[event_type] = {
            "address": event_type,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
            "bindings": {"amqp": {"is": "routingKey", "exchange": exchange}},
        }
        operations[f"{event.source}.{event_type}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{event_type}"},
            "summary": f"Sent by {event.source}.",
        }
        for service in READERS[event_type]:
            operations[f"{service} reads {event_type}"] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{event_type}"},
                "summary": f"Waits for {service} in the queue {queue_name(service, event_type)}.",
            }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Gatehouse events", "version": "1"},
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas, "messages": messages},
    }


def _envelope(event: type[Event], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = _schema(Envelope, schemas)
    properties = {
        **schema["properties"],
        "type": {"const": event.type},
        "data": {"$ref": f"{SCHEMAS}{event.__name__}"},
    }
    if event.source != "any":
        properties["source"] = {"const": event.source}
    required = ["specversion", "id", "source", "type", "subject", "time", "data"]
    return {**schema, "title": f"{event.__name__}Envelope", "properties": properties, "required": required}


def _schema(model: type[Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The model's JSON schema; what it refers to goes into `schemas`."""
    schema: dict[str, Any] = model.model_json_schema(ref_template=SCHEMAS + "{model}")
    schemas.update(schema.pop("$defs", {}))
    return schema


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
