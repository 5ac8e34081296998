"""The parts of the platform, what each needs before it can start, and how to see that it works."""

import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deploy.local.environment import COMPONENTS, Environment, Servers, process_environment
from deploy.local.server import NotReady, Server, base_env
from deploy.local.settings import ROOT, Settings

# From the first to be stopped to the last: the door, then who works, then what they work with.
GROUPS = ["door", "services", "servers"]


@dataclass(frozen=True)
class Part:
    """One supervised process."""

    name: str
    group: str
    command: list[str]
    env: dict[str, str] = field(repr=False)
    ports: list[int]
    address: str
    probe: Callable[[], None]
    needs: tuple[str, ...] = ()
    folder: Path = ROOT
    stop_signal: str = "TERM"
    is_listed: bool = True


@dataclass(frozen=True)
class Job:
    """Something that runs once during `up`, between the parts."""

    name: str
    run: Callable[[], None]
    needs: tuple[str, ...] = ()


Step = Part | Job

SERVERS = ["epmd", "postgres", "rabbitmq", "mongo", "simulators"]
NAMES = [*SERVERS, *(name for component in COMPONENTS[1:] for name in (component, f"{component}-worker")), "gateway"]


def parts(settings: Settings, on: Servers, environments: Mapping[str, Environment]) -> list[Part]:
    """In the order they are shown."""
    python_env = {
        component: base_env(home=Path.home())
        | {"PYTHONUNBUFFERED": "1"}
        | process_environment(settings, component, environment)
        for component, environment in environments.items()
    }
    found = [
        server_part(on.postgres),
        epmd_part(on),
        server_part(on.rabbitmq, needs=("epmd",)),
        server_part(on.mongo),
        simulators_part(settings),
    ]
    for component in COMPONENTS[1:]:
        found.append(service_part(settings, component, python_env[component]))
        found.append(worker_part(settings, component, python_env[component]))
    found.append(gateway_part(settings, python_env["gateway"]))
    return found


def server_part(server: Server, needs: tuple[str, ...] = ()) -> Part:
    return Part(
        name=server.name,
        group="servers",
        command=server.command(),
        env=server.env(),
        ports=server.ports(),
        address=f"127.0.0.1:{server.port}",
        probe=server.probe,
        needs=needs,
        folder=server.folder,
        stop_signal=server.stop_signal.name.removeprefix("SIG"),
    )


def epmd_part(on: Servers) -> Part:
    return Part(
        name="epmd",
        group="servers",
        command=[*on.rabbitmq.wrapper(), *on.rabbitmq.epmd_program()],
        env=on.rabbitmq.env(),
        ports=[on.rabbitmq.epmd_port],
        address=f"127.0.0.1:{on.rabbitmq.epmd_port}",
        probe=on.rabbitmq.probe_epmd,
        folder=on.rabbitmq.folder,
        is_listed=False,
    )


def simulators_part(settings: Settings) -> Part:
    return Part(
        name="simulators",
        group="servers",
        command=[sys.executable, "-m", "deploy.local.simulators"],
        env=base_env(home=Path.home())
        | {
            "SIMULATORS_PORT": str(settings.port_of("simulators")),
            "SIMULATORS_APNS_PORT": str(settings.port_of("apns")),
            "SIMULATORS_SMTP_PORT": str(settings.port_of("smtp")),
            "SIMULATORS_FOLDER": str(settings.home / "simulators"),
        },
        ports=[settings.port_of(name) for name in ("simulators", "apns", "smtp")],
        address=settings.url_of("simulators"),
        probe=partial(probe_http, settings.url_of("simulators") + "/"),
    )


def service_part(settings: Settings, component: str, env: dict[str, str]) -> Part:
    return Part(
        name=component,
        group="services",
        command=[sys.executable, "-m", f"services.{component}", "serve"],
        env=env,
        ports=[settings.port_of(component)],
        address=settings.url_of(component),
        probe=partial(probe_http, settings.url_of(component) + "/readyz"),
        needs=(f"{component}-migrations",),
    )


def worker_part(settings: Settings, component: str, env: dict[str, str]) -> Part:
    name = f"{component}-worker"
    return Part(
        name=name,
        group="services",
        command=[sys.executable, "-m", f"services.{component}", "worker"],
        env=env,
        ports=[settings.port_of(name)],
        address=settings.url_of(name),
        probe=partial(probe_http, settings.url_of(name) + "/readyz"),
        needs=(f"{component}-migrations", "rabbitmq", *(("simulators",) if component == "notify" else ())),
    )


def gateway_part(settings: Settings, env: dict[str, str]) -> Part:
    return Part(
        name="gateway",
        group="door",
        command=[sys.executable, "-m", "gateway", "serve"],
        env=env,
        ports=[settings.port_of("gateway"), settings.port_of("gateway-ops")],
        address=settings.url_of("gateway"),
        probe=partial(probe_http, settings.url_of("gateway-ops") + "/readyz"),
        needs=("auth", "rabbitmq"),
    )


def probe_http(url: str) -> None:
    """Raise NotReady unless a GET answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=3):  # noqa: S310 - our own http:// address
            return
    except urllib.error.HTTPError as error:
        raise NotReady(f"{url} answers {error.code}") from None
    except (OSError, ValueError) as error:
        raise NotReady(f"{url}: {error}") from None


def with_needs(steps: Iterable[Step], wanted: Iterable[str]) -> list[Step]:
    """The wanted steps and all they need, in the given order; all of them if none is named."""
    by_name = {step.name: step for step in steps}
    todo = list(wanted) or list(by_name)
    chosen: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in chosen:
            chosen.add(name)
            todo.extend(by_name[name].needs)
    return [step for name, step in by_name.items() if name in chosen]
