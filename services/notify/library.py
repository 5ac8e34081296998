"""Templates, layouts and languages, and the mail or push that comes of them in the reader's language.

A folder holds `templates.toml`, `<tag>.toml` for each language, `layout.html`, `layout.txt`, and where one mail is to
look unlike the others `<tag>/<template>/{subject.txt,body.txt,body.html}`. An operator's folder lies over the built-in
one: its files come first, its sentences too, one by one. All of it is read once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.notify.brand import Brand
from services.notify.catalogue import NAME, PLACES, Catalogue, Sentence, Template
from services.notify.languages import ENGLISH, direction, fonts, stand_ins

FOLDER = Path(__file__).parent / "templates"
MAX_LINE = 200
FILES = frozenset({"subject.txt", "body.txt", "body.html"})
LAYOUTS = frozenset({"layout.html", "layout.txt"})


class CannotRender(Exception):
    """There is no such template, or a parameter of it is missing; the text says which, never a parameter's value."""


@dataclass(frozen=True)
class Shelf:
    """What one folder holds. `files` are Jinja templates by their path."""

    templates: Mapping[str, Template] = field(default_factory=dict)
    catalogues: Mapping[str, Catalogue] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: "Shelf") -> "Shelf":
        """This folder, lying over another."""
        catalogues = dict(other.catalogues)
        for tag, catalogue in self.catalogues.items():
            catalogues[tag] = catalogue.over(catalogues[tag]) if tag in catalogues else catalogue
        return Shelf({**other.templates, **self.templates}, catalogues, {**other.files, **self.files})


@dataclass(frozen=True)
class Edition:
    """One template in one language: its sentences by place, and the tags under which its files may lie."""

    name: str
    template: Template
    tag: str
    tags: Sequence[str]
    words: Mapping[str, Sentence]
    values: Mapping[str, Sentence]


@dataclass(frozen=True)
class Written:
    """A mail in one language."""

    tag: str
    subject: str
    text: str
    html: str


class Library:
    """Raises CannotRender. Parameters are only ever filled in, never compiled; in HTML all of them are escaped."""

    def __init__(self, shelf: Shelf, brand: Brand, locale: str = ENGLISH) -> None:
        self.shelf, self._brand, self._locale = shelf, brand, locale

    @cached_property
    def _environment(self) -> ImmutableSandboxedEnvironment:
        return ImmutableSandboxedEnvironment(
            loader=DictLoader(self.shelf.files),
            autoescape=lambda name: bool(name and name.endswith(".html")),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
        )

    def mail(self, name: str, wishes: Sequence[str], params: Mapping[str, str]) -> Written:
        """In the first language of the wishes that the template has; else in the service's own, else in English."""
        edition = self.edition(name, wishes)
        values = self._values(edition, params)
        subject = self._subject(edition, values)
        text, html = (self._part(edition, kind, subject, values) for kind in ("txt", "html"))
        return Written(edition.tag, subject, text, html)

    def push(self, name: str, wishes: Sequence[str], params: Mapping[str, str]) -> tuple[str, str]:
        """Title and body. A template without the sentence `push` holds what does not belong on a locked screen."""
        edition = self.edition(name, wishes)
        if "push" not in edition.words:
            raise CannotRender(f"the template {name} is not for pushes")
        values = self._values(edition, params)
        return self._subject(edition, values), self._say(edition, "push", values).strip()

    def edition(self, name: str, wishes: Sequence[str]) -> Edition:
        if not NAME.fullmatch(name):
            raise CannotRender("the template has no valid name")
        if (template := self.shelf.templates.get(name)) is None:
            raise CannotRender(f"there is no template {name}")
        for tags in (stand_ins(wish) for wish in (*wishes, self._locale, ENGLISH)):
            if tags and (found := self._edition(name, template, tags)):
                return found
        raise CannotRender(f"the template {name} is not whole in any language")

    def _edition(self, name: str, template: Template, tags: Sequence[str]) -> Edition | None:
        """The template in one language, if that is whole: sentences for all that must be said, or files."""
        there = [tag for tag in tags if tag in self.shelf.catalogues]
        merged = Catalogue()
        for tag in reversed(there):
            merged = self.shelf.catalogues[tag].over(merged)
        tag = self.shelf.catalogues[there[0]].tag or there[0] if there else tags[0]
        words = merged.words(name, template)
        edition = Edition(name, template, tag, tags, words, merged.values)
        if template.needed <= words.keys() or all(self.file(edition, file) for file in FILES):
            return edition
        return None

    def file(self, edition: Edition, file: str) -> str | None:
        """The path of a file that stands in for the layout."""
        paths = (f"{tag}/{edition.name}/{file}" for tag in edition.tags)
        return next((path for path in paths if path in self.shelf.files), None)

    def _values(self, edition: Edition, params: Mapping[str, str]) -> dict[str, str]:
        if missing := edition.template.params - params.keys():
            raise CannotRender(f"{edition.name}: the parameter {min(missing)} is missing")
        return {"name": "", **params, "app": self._brand.app_name}

    def _said(self, edition: Edition, values: Mapping[str, str]) -> dict[str, str]:
        """The values that the language says in its own words."""
        return {name: sentence.fill(values) for name, sentence in edition.values.items() if values.get(name)}

    def _say(self, edition: Edition, place: str, values: Mapping[str, str]) -> str:
        sentence = edition.words.get(place)
        try:
            return sentence.fill(values, self._said(edition, values)) if sentence else ""
        except KeyError as error:
            raise CannotRender(f"{edition.name}: the parameter {error.args[0]} is missing") from error

    def _subject(self, edition: Edition, values: Mapping[str, str]) -> str:
        """One line, whatever a parameter holds: a line break could start a header."""
        file = self.file(edition, "subject.txt")
        subject = self._run(file, {**values, "locale": edition.tag}) if file else self._say(edition, "subject", values)
        return " ".join(subject.split())[:MAX_LINE]

    def _part(self, edition: Edition, kind: str, subject: str, values: Mapping[str, str]) -> str:
        """The body as text or HTML: by the layout, unless a file of the template's own stands in for it."""
        words = {place: self._say(edition, place, values) for place in PLACES}
        words["title"] = words["title"] or subject
        own = {
            "brand": self._brand,
            "dir": direction(edition.tag),
            "fonts": fonts(edition.tag),
            "footer": words["footer"] or self._brand.footer,
            "lang": edition.tag,
            "locale": edition.tag,
            "preview": words["preview"] or words["lead"],
            "start": "right" if direction(edition.tag) == "rtl" else "left",
            "subject": subject,
            "words": words,
        }
        path = self.file(edition, f"body.{kind}") or f"layout.{kind}"
        context = {"link": "", "code": "", **values, **self._said(edition, values), **own}
        return self._run(path, context).strip() + "\n"

    def _run(self, path: str, context: Mapping[str, Any]) -> str:
        try:
            return self._environment.get_template(path).render(context)
        except Exception as error:  # a template of an operator's can raise anything: 1 / 0, "a" + 1
            raise CannotRender(f"{path}: {type(error).__name__}") from error
