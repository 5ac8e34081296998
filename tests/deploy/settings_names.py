"""The names a component reads from its environment, and those that a deployment gives it."""

from importlib import import_module
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from shared.settings import Settings
from tests.deploy.manifests import ROOT

Env = dict[str, str]


def settings_class(component: str) -> type[Settings]:
    module = "gateway.config" if component == "gateway" else f"services.{component}.config"
    found: type[Settings] = getattr(import_module(module), f"{component.capitalize()}Settings")
    return found


def names(component: str) -> set[str]:
    """All environment names of a component. The gateway has no worker."""
    return {name.upper() for name in settings_class(component).model_fields} - (
        {"WORKER_BIND"} if component == "gateway" else set()
    )


def secret_names(component: str) -> set[str]:
    fields = settings_class(component).model_fields.items()
    return {name.upper() for name, field in fields if SecretStr in (field.annotation, *get_args(field.annotation))}


def required_names(component: str) -> set[str]:
    return {name.upper() for name, field in settings_class(component).model_fields.items() if field.is_required()}


def read(path: Path) -> tuple[Env, Env]:
    """(what an env file sets, what it shows behind a `#`)."""
    given: Env = {}
    shown: Env = {}
    for line in path.read_text().splitlines():
        name, equals, value = line.removeprefix("#").partition("=")
        if equals and name.isupper() and " " not in name:
            (shown if line.startswith("#") else given)[name] = value
    return given, shown


def default(component: str, name: str) -> str:
    """A setting's default as an env file writes it."""
    value = settings_class(component).model_fields[name.lower()].default
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"/app/{value.relative_to(ROOT)}" if isinstance(value, Path) else str(value)
