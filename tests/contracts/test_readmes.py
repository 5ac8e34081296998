"""The tables of every component's README.md say what the code does: endpoints, environment, metrics, events."""

import ast
import re
from collections.abc import Callable

import pytest
from flask import Flask

from shared.app import OWN_ROUTES
from shared.contracts import EVENTS, Event
from shared.settings import Settings
from tests.contracts.components import COMPONENTS, Component, calls, shipped, tree
from tests.contracts.conftest import settings_class

each_component = pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
COLLECTORS = {"Counter", "Gauge", "Histogram", "Summary"}
FOR_ALL = {"SECRETS_DIR", "PROMETHEUS_MULTIPROC_DIR", "OTEL_EXPORTER_OTLP_ENDPOINT"}  # read beside the settings
CLASSES: dict[str, type[Event]] = {event.__name__: event for event in EVENTS.values()}
Row = list[str]


def rows(component: Component, heading: str) -> list[Row]:
    """The cells of every table below `## heading`, without the heads of the tables."""
    sections = re.split(r"(?m)^#{2,3}\s+", component.readme)
    bodies = [section for section in sections if section.lower().startswith(heading.lower())]
    assert bodies, f"{component.path}/README.md has no heading `## {heading}`"
    lines = [line.strip() for body in bodies for line in body.splitlines()]
    table = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines if line.startswith("|")]
    heads = {number - 1 for number, cells in enumerate(table) if set("".join(cells)) <= set("-: ")}
    return [
        [cell.strip() for cell in cells]
        for number, cells in enumerate(table)
        if number not in heads and number - 1 not in heads
    ]


def template(path: str) -> str:
    """`/x/<uuid:id>?limit=` and `/x/{id}` become `/x/{}`."""
    return re.sub(r"<[^<>]*>|\{[^{}]*\}", "{}", path.split("?")[0])


@each_component
def test_the_endpoints(component: Component, app_of: Callable[[Component], Flask]) -> None:
    served = {
        f"{method} {template(rule.rule)}"
        for rule in app_of(component).url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    own = {f"GET {rule.rule}" for rule in app_of(component).url_map.iter_rules() if rule.endpoint in OWN_ROUTES}
    told = {
        f"{method} {template(path)}"
        for row in rows(component, "Endpoints")
        for method in re.findall(r"\b(GET|POST|PUT|PATCH|DELETE)\b", " ".join(row[:2]))
        for path in re.findall(r"`(?:[A-Z]+ )?(/[^`\s]*)`", " ".join(row[:2]))
    }
    assert told - own == served - own


@each_component
def test_the_environment(component: Component) -> None:
    fields = {name.upper() for name in settings_class(component).model_fields}
    told = {name for row in rows(component, "Environment") for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row[0])}
    missing = fields - told
    if re.search(r"(?i)shared/settings\.py|beside those of every", component.readme):
        missing -= {name.upper() for name in Settings.model_fields}
    assert (missing, told - fields - FOR_ALL) == (set(), set())


@each_component
def test_every_setting_says_what_it_is(component: Component) -> None:
    assert [name for name, field in settings_class(component).model_fields.items() if not field.description] == []


def defined_metrics(component: Component) -> set[str]:
    """The collectors that the component's processes define, shared ones included, without Prometheus's suffixes."""
    return {
        str(node.args[0].value)
        for file in shipped(component)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in COLLECTORS
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


@each_component
def test_the_metrics(component: Component) -> None:
    told = {
        re.sub(r"_(total|bucket|sum|count)$", "", name)
        for row in rows(component, "Metrics")
        for name in re.findall(r"`([a-z][a-z0-9_]+)(?:\{[^`]*\})?`", row[0])
    }
    defined = {re.sub(r"_total$", "", name) for name in defined_metrics(component)}
    assert (defined - told, told - defined) == (set(), set())


def consumed(component: Component) -> set[str]:
    """The types of events of other services that handlers are registered for."""
    return {
        CLASSES[call.args[0].id].type
        for call in calls(component)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "on"
        and call.args
        and isinstance(call.args[0], ast.Name)
        and call.args[0].id in CLASSES
    }


def emitted(component: Component) -> set[str]:
    """The types of events that the component makes."""
    return {
        CLASSES[call.func.id].type
        for call in calls(component)
        if isinstance(call.func, ast.Name) and call.func.id in CLASSES
    }


@each_component
def test_the_events(component: Component) -> None:
    told: dict[str, set[str]] = {"consumes": set(), "emits": set()}
    for row in rows(component, "Events"):
        types = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", " ".join(row[:2]))) & EVENTS.keys()
        text = " ".join(row[:2]).lower()
        told["consumes" if re.search(r"consum|receiv|reads|\bin\b|from ", text) else "emits"] |= types
    if component.name == "gateway":
        assert "session.revoked" in told["consumes"]
        return
    assert told == {"consumes": consumed(component), "emits": emitted(component)}
