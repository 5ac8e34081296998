"""Who may import whom, and what each component declares and locks of what it imports."""

import re
from pathlib import Path

import pytest

from tests.contracts.components import COMPONENTS, ROOT, Component, imports, normal, shipped, third_party

each_component = pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
LINE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: ;[^\\]*)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def is_in(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def of_this_house(file: Path) -> set[str]:
    """The modules of this repository that a file imports."""
    return {module for module in imports(file) if is_in(module, "services", "gateway", "shared", "deploy", "tests")}


def test_every_service_of_the_design_is_here() -> None:
    assert {component.path for component in COMPONENTS} >= {
        "gateway", "services/auth", "services/profile", "services/data", "services/notify",
    }  # fmt: skip


@each_component
def test_a_component_imports_itself_and_shared_and_no_other(component: Component) -> None:
    foreign = {
        f"{file.relative_to(ROOT)}: {module}"
        for file in component.files()
        for module in of_this_house(file)
        if not is_in(module, component.package, "shared") and module != "services"
    }
    assert not foreign


def test_shared_knows_nothing_about_any_component() -> None:
    foreign = {
        f"{file.relative_to(ROOT)}: {module}"
        for file in (ROOT / "shared").rglob("*.py")
        for module in of_this_house(file)
        if not is_in(module, "shared")
    }
    assert not foreign


@each_component
def test_importing_a_component_reads_no_environment(component: Component) -> None:
    """`os.environ` is for `shared.settings`, for `__main__`, and for the functions that a process starts with."""
    early = {
        f"{file.relative_to(ROOT)}:{number}"
        for file in component.files()
        if file.name != "__main__.py"
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.match(r"\S.*os\.(environ|getenv)", line)
    }
    assert not early


@each_component
def test_what_a_component_imports_is_a_direct_dependency_of_it(component: Component) -> None:
    imported = third_party(shipped(component))
    missing = {f"{name} ({imported[name].relative_to(ROOT)})" for name in imported.keys() - component.declared()}
    assert not missing, f"declare in {component.path}/pyproject.toml, then `make lock`"


@each_component
def test_a_declared_dependency_is_imported_or_the_readme_says_why_it_is_there(component: Component) -> None:
    unused = component.declared() - third_party(shipped(component)).keys()
    unexplained = {name for name in unused if not re.search(rf"(?i)`{re.escape(name)}`", component.readme)}
    assert not unexplained, f"remove from {component.path}/pyproject.toml, or say in its README.md what for"


def locked(file: Path) -> dict[str, str]:
    """Name and version of every requirement; fails on a line that is anything but a pinned name or a hash."""
    found = {}
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if match := LINE.match(line):
            assert HASH.match(following), f"{file.relative_to(ROOT)}: {line} has no hash"
            found[normal(match["name"])] = match["version"]
        else:
            assert HASH.match(line), f"{file.relative_to(ROOT)}: neither a pinned name nor a hash: {line}"
    return found


@each_component
def test_the_lock_pins_every_line_by_hash_in_the_versions_of_the_whole_house(component: Component) -> None:
    own, house = locked(component.folder / "requirements.txt"), locked(ROOT / "requirements.txt")
    assert component.declared() <= own.keys()
    assert {name: version for name, version in own.items() if house.get(name) != version} == {}


@pytest.mark.parametrize("file", sorted(ROOT.glob("**/requirements.txt")) or [ROOT], ids=lambda path: path.parent.name)
def test_no_lock_says_where_packages_come_from(file: Path) -> None:
    if ".venv" not in file.parts:
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links|@ file", file.read_text())
