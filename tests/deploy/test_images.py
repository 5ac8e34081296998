"""An image holds what its component imports, and nothing of another component."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.deploy.manifests import COMPONENTS, ROOT

FOLDERS = {component: "gateway" if component == "gateway" else f"services/{component}" for component in COMPONENTS}
FOLDERS["simulators"] = "deploy/local/simulators"


OURS = {"gateway", "services", "shared", "deploy"}


def dockerfile(component: str) -> str:
    return (ROOT / FOLDERS[component] / "Dockerfile").read_text()


@pytest.mark.parametrize("component", FOLDERS)
def test_an_image_holds_its_own_folder_and_shared_where_imports_look_for_them(component: str) -> None:
    folder = FOLDERS[component]
    copied = re.findall(r"^COPY (?!--from)(\S+) (\S+)$", dockerfile(component), re.MULTILINE)
    code = [("shared", "/app/shared"), (folder, f"/app/{folder}")]
    if component == "simulators":
        code[0] = ("deploy/local/__init__.py", "/app/deploy/local/__init__.py")
    assert copied == [(f"{folder}/requirements.txt", "/build/requirements.txt"), *code]
    assert "\nWORKDIR /app\n" in dockerfile(component)
    assert f'ENTRYPOINT ["python", "-m", "{folder.replace("/", ".")}"]' in dockerfile(component)


@pytest.mark.parametrize("component", FOLDERS)
def test_an_image_is_built_on_any_base_locked_by_hash_and_runs_as_nobody(component: str) -> None:
    text = dockerfile(component)
    assert text.count("FROM ${BASE_IMAGE}") == text.count("FROM ") == 2
    assert "--require-hashes" in text
    assert "# syntax=" not in text
    assert "USER 10001:10001" in text.rpartition("FROM ")[2]


def test_the_builder_gets_source_only() -> None:
    """An allow-list: what nobody named stays out, be it .git, .env or passwords."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {"!gateway", "!services", "!shared", "!deploy/local"}


@pytest.mark.parametrize("component", FOLDERS)
def test_an_image_has_every_library_that_its_code_imports(component: str) -> None:
    """Followed through `shared`: a service without PostgreSQL ships no psycopg2 and must not come to import it."""
    folder = ROOT / FOLDERS[component]
    locked = set(re.findall(r"^([a-z0-9-]+)==", (folder / "requirements.txt").read_text(), re.MULTILINE))
    distributions = packages_distributions()
    start = set(folder.rglob("*.py")) | ({ROOT / "shared" / "gunicorn_conf.py"} if component != "simulators" else set())
    missing = set()
    for path in closure(start):
        for module in imports(path):
            top = module.partition(".")[0]
            if top in sys.stdlib_module_names or top in OURS:
                continue
            if not {name.lower().replace("_", "-").replace(".", "-") for name in distributions[top]} & locked:
                missing.add(f"{path.relative_to(ROOT)} imports {module}")
    assert not missing


@pytest.mark.parametrize("component", FOLDERS)
def test_an_image_lacks_no_module_of_ours(component: str) -> None:
    own = (FOLDERS[component], "shared" if component != "simulators" else FOLDERS[component])
    for path in closure(set((ROOT / FOLDERS[component]).rglob("*.py"))):
        assert str(path.relative_to(ROOT)).startswith(own) or path == ROOT / "deploy/local/__init__.py", path


def closure(start: set[Path]) -> set[Path]:
    """All our modules that those files import, directly or not."""
    found: set[Path] = set()
    todo = list(start)
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo.extend(target for module in imports(path) if (target := first_party(module)))
    return found


def first_party(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.exists()), None)


@cache
def imports(path: Path) -> list[str]:
    """Modules a file imports when it runs; `from package import module` gives both readings."""
    found = []
    for node in running(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [node.module, *(module for module in submodules if first_party(module))]
    return found


def running(node: ast.AST) -> Iterator[ast.AST]:
    """Everything below the node but what is only for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from running(child)
