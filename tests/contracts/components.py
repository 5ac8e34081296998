"""The components of the house, read as source: what each imports, calls and promises. Nothing here runs their code."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import files, packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists())


@dataclass(frozen=True)
class Component:
    """`gateway` or `services/<name>`."""

    path: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def folder(self) -> Path:
        return ROOT / self.path

    @property
    def package(self) -> str:
        return self.path.replace("/", ".")

    @property
    def readme(self) -> str:
        file = self.folder / "README.md"
        assert file.exists(), f"{self.path} has no README.md"
        return file.read_text()

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.py"))

    def declared(self) -> set[str]:
        """The names of its direct dependencies, as on the package index."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]
        return {normal(requirement) for requirement in project["dependencies"]}


GATEWAY = Component("gateway")
COMPONENTS = [GATEWAY, *(Component(f"services/{name}") for name in SERVICES)]


def normal(requirement: str) -> str:
    """`psycopg2_binary[x]>=2` becomes `psycopg2-binary`."""
    name = requirement
    for end in "[<>=!~; ":
        name = name.split(end, 1)[0]
    return name.lower().replace("_", "-").replace(".", "-")


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def imports(file: Path) -> Iterator[str]:
    """Every module the file imports when it runs, dotted; what only a type checker imports does not count."""
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    yield from _imports(tree(file), package)


def _imports(node: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for otherwise in child.orelse:
                yield from _imports(otherwise, package)
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = ".".join(package[: len(package) - child.level + 1]) if child.level else ""
            module = ".".join(filter(None, (base, child.module)))
            yield module
            yield from (f"{module}.{alias.name}" for alias in child.names)
        else:
            yield from _imports(child, package)


def source_of(module: str) -> Path | None:
    """The file of a module of this repository."""
    path = ROOT / Path(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


@cache
def shipped(component: Component) -> frozenset[Path]:
    """The component's own files, and those of shared/ that they import, directly or through one another."""
    found: set[Path] = set()
    waiting = list(component.files())
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        waiting += [source for module in imports(file) if (source := source_of(module))]
    return frozenset(found)


def third_party(files: frozenset[Path]) -> dict[str, Path]:
    """Each distribution that these files import, and a file that does."""
    known = packages_distributions()
    found: dict[str, Path] = {}
    for file in sorted(files):
        for module in imports(file):
            top = module.split(".")[0]
            if top in sys.stdlib_module_names or (ROOT / top).is_dir():
                continue
            for distribution in known.get(top, [top]):
                if len(known.get(top, ())) < 2 or _holds(distribution, module):
                    found.setdefault(normal(distribution), file)
    return found


@cache
def _holds(distribution: str, module: str) -> bool:
    """Whether the module is in it: several distributions may share a top name."""
    path = module.replace(".", "/")
    return any(str(file) in (f"{path}.py", f"{path}/__init__.py") for file in files(distribution) or ())


def calls(component: Component) -> Iterator[ast.Call]:
    """Every call in the component's own code."""
    for file in component.files():
        yield from (node for node in ast.walk(tree(file)) if isinstance(node, ast.Call))
