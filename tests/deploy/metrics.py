"""The metrics that the code exposes, read from the code, and the names that a PromQL expression uses."""

import ast
import re
from pathlib import Path

from tests.deploy.manifests import ROOT

TARGET_LABELS = {"job", "instance", "component", "process", "le"}
SUFFIXES = {
    "Counter": ["_total"],
    "Gauge": [""],
    "Histogram": ["_bucket", "_sum", "_count"],
}
WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"}


def exposed() -> dict[str, set[str]]:
    """Name in the exposition -> labels, of every Counter, Gauge and Histogram in our code."""
    found: dict[str, set[str]] = {"up": set()}
    for folder in ("shared", "gateway", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            for name, kind, labels in declared(path):
                for suffix in SUFFIXES[kind]:
                    found[name + suffix] = labels
    return found


def declared(path: Path) -> list[tuple[str, str, set[str]]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SUFFIXES):
            continue
        if len(node.args) >= 2 and all(isinstance(arg, ast.Constant) for arg in node.args[:2]):
            labels = ast.literal_eval(node.args[2]) if len(node.args) > 2 else []
            found.append((ast.literal_eval(node.args[0]).removesuffix("_total"), node.func.id, set(labels)))
    return found


def names_in(expression: str) -> set[str]:
    """Metric names of an expression: what is left when strings, matchers, groupings, ranges and functions are gone."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    return set(re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()", text)) - WORDS


def labels_in(expression: str) -> set[str]:
    """Labels that an expression matches or groups by."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    matched = {name for inside in re.findall(r"\{([^}]*)\}", text) for name in re.findall(r"(\w+)\s*[=!]", inside)}
    grouped = {
        name.strip() for inside in re.findall(r"\b(?:by|on|ignoring)\s*\(([^)]*)\)", text) for name in inside.split(",")
    }
    return (matched | grouped) - {""}
