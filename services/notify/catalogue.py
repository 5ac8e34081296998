"""The sentences of one language: `<tag>.toml`, a section for each template, a sentence for each place in the layout.

A sentence is text with `{parameters}`, or a table of such texts chosen `by` a parameter's value: one for some values,
`none` for an empty one, `other` for the rest. There is nothing in it to run, and no markup of it reaches a mail.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.notify.languages import written

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# What the layouts show, and `push`, for a locked screen.
PLACES = (
    "subject", "preview", "title", "hello", "lead", "open_link", "button", "or_code", "copy_link", "where", "note",
    "footer", "push",
)  # fmt: skip
SECRETS = frozenset({"link", "code"})
EVERYWHERE = frozenset({"name", "app"})  # parameters that every template has


class Mistake(ValueError):
    """What is wrong with a file, for the operator who wrote it."""


@dataclass(frozen=True)
class Sentence:
    texts: Mapping[str, str]
    by: str | None = None

    @classmethod
    def of(cls, said: object) -> "Sentence":
        """Raise Mistake."""
        table = {"other": said} if isinstance(said, str) else said
        if not isinstance(table, dict) or not all(isinstance(text, str) for text in table.values()):
            raise Mistake("is neither a text nor a table of texts")
        texts = {value: text for value, text in table.items() if value != "by"}
        by = table.get("by")
        if "other" not in texts or (len(texts) > 1 and by is None):
            raise Mistake("needs `other`, and `by` where there are several texts")
        for text in texts.values():
            if re.search(r"[{}]", PLACEHOLDER.sub("", text)):
                raise Mistake("has a brace that is no {parameter}")
        return cls(texts, by)

    @property
    def parameters(self) -> frozenset[str]:
        found = {name for text in self.texts.values() for name in PLACEHOLDER.findall(text)}
        return frozenset(found | ({self.by} if self.by else set()))

    def fill(self, values: Mapping[str, str], said: Mapping[str, str] | None = None) -> str:
        """Raise KeyError with a parameter's name. `said` are the values as the language says them, if it does.

        A value is filled in as it is, whatever it holds.
        """
        value = values[self.by] if self.by else ""
        text = self.texts.get(value or "none", self.texts["other"])
        return PLACEHOLDER.sub(lambda found: (said or {}).get(found[1]) or values[found[1]], text)


Sentences = Mapping[str, Sentence]


@dataclass(frozen=True)
class Template:
    """What a template is in every language. `common` says which common sentences it takes, by place."""

    params: frozenset[str] = frozenset()
    common: Mapping[str, str] = field(default_factory=dict)
    same: Sentences = field(default_factory=dict)
    greets: bool = True

    @classmethod
    def of(cls, said: dict[str, Any]) -> "Template":
        """Raise Mistake."""
        if unknown := said.keys() - {"params", "common", "same", "greets"}:
            raise Mistake(f"has `{min(unknown)}`, which nothing reads")
        params, common, same = said.get("params", []), said.get("common", {}), said.get("same", {})
        if not (isinstance(params, list) and all(isinstance(name, str) and NAME.fullmatch(name) for name in params)):
            raise Mistake("`params` is a list of names")
        if not (
            isinstance(common, dict)
            and common.keys() <= set(PLACES)
            and all(isinstance(name, str) for name in common.values())
        ):
            raise Mistake("`common` names a common sentence for a place")
        if not (isinstance(same, dict) and same.keys() <= set(PLACES)):
            raise Mistake("`same` is a table of sentences")
        sentences = {place: Sentence.of(text) for place, text in same.items()}
        return cls(frozenset(params), common, sentences, said.get("greets", True) is True)

    @property
    def needed(self) -> frozenset[str]:
        """The places that must not be empty."""
        linked = {"button", "open_link", "copy_link"} if "link" in self.params else set()
        coded = {"or_code"} if linked and "code" in self.params else set()
        return frozenset({"subject", "lead", *linked, *coded, *self.common, *(["hello"] if self.greets else [])})


@dataclass(frozen=True)
class Catalogue:
    """All sentences of one language. `tag` is what `lang` says in HTML, if that is not the name of the file.

    `values` are parameters whose values are words of ours, not of a person's, and so have to be said in each language.
    """

    tag: str = ""
    common: Sentences = field(default_factory=dict)
    values: Sentences = field(default_factory=dict)
    sections: Mapping[str, Sentences] = field(default_factory=dict)

    def over(self, other: "Catalogue") -> "Catalogue":
        """This one, and what it lacks from another of the same language."""
        sections = {
            name: {**other.sections.get(name, {}), **self.sections.get(name, {})}
            for name in {**other.sections, **self.sections}
        }
        return Catalogue(
            self.tag or other.tag, {**other.common, **self.common}, {**other.values, **self.values}, sections
        )

    def words(self, name: str, template: Template) -> dict[str, Sentence]:
        """The sentence for each place that has one."""
        own = {**template.same, **self.sections.get(name, {})}
        taken = {place: template.common.get(place, place) for place in PLACES}
        given = {place: self.common[named] for place, named in taken.items() if named in self.common}
        if not template.greets:
            given.pop("hello", None)
        return {**given, **own}


def read_templates(text: str) -> dict[str, Template]:
    """Raise Mistake."""
    found = {}
    for name, said in _toml(text).items():
        if not (NAME.fullmatch(name) and isinstance(said, dict)):
            raise Mistake(f"[{name}] is no template")
        try:
            found[name] = Template.of(said)
        except Mistake as mistake:
            raise Mistake(f"[{name}] {mistake}") from mistake
    return found


def read_catalogue(text: str, templates: Mapping[str, Template]) -> tuple[Catalogue, list[str]]:
    """The language, without the sentences that are wrong; and what is wrong with those. Raise Mistake for all of it."""
    wrong: list[str] = []
    tables = {name: table if isinstance(table, dict) else {} for name, table in _toml(text).items()}
    tag = str(tables.pop("language", {}).get("tag", ""))
    if tag and written(tag) != tag:
        wrong.append("[language] tag is no language tag in its customary form")
        tag = ""
    common = _sentences("common", tables.pop("common", {}), wrong)
    values = _sentences("values", tables.pop("values", {}), wrong)
    wrong += [f"[values] {name} is said by itself only" for name, one in values.items() if one.parameters - {name}]
    wrong += [f"[values] {name} is said as it is, always" for name in sorted(SECRETS & values.keys())]
    values = {
        name: sentence for name, sentence in values.items() if not sentence.parameters - {name} and name not in SECRETS
    }
    sections = {}
    for name, table in tables.items():
        if name not in templates:
            wrong.append(f"[{name}] is no template; templates.toml names them")
            continue
        sections[name] = _sentences(name, table, wrong, PLACES, templates[name].params | EVERYWHERE)
    return Catalogue(tag, common, values, sections), wrong


def _sentences(
    section: str,
    table: dict[str, Any],
    wrong: list[str],
    places: tuple[str, ...] | None = None,
    params: frozenset[str] | None = None,
) -> dict[str, Sentence]:
    found = {}
    for place, said in table.items():
        try:
            if places and place not in places:
                raise Mistake(f"is no place in a mail; there are {', '.join(places)}")
            sentence = Sentence.of(said)
            if params is not None and (unknown := sentence.parameters - params):
                raise Mistake(f"has {{{min(unknown)}}}, which the template does not get")
            found[place] = sentence
        except Mistake as mistake:
            wrong.append(f"[{section}] {place} {mistake}")
    return found


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Mistake(f"is not TOML: {error}") from error
