"""Folders of templates, read and tried: what is wrong in an operator's is named and left out; the built-in stands."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from services.notify.brand import Brand
from services.notify.catalogue import NAME, SECRETS, Mistake, Template, read_catalogue, read_templates
from services.notify.languages import ENGLISH, written
from services.notify.library import FILES, FOLDER, LAYOUTS, CannotRender, Library, Shelf
from services.notify.samples import samples

MAX_FILE_BYTES = 200_000
DEPTH = 3  # <tag>/<template>/<file>
TRIAL_BRAND = Brand("Gatehouse", "#1f5f4a")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file of a folder. Everything else of the folder counts."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def built_in() -> Shelf:
    """Ours; a test holds it in order."""
    return read(FOLDER, Shelf())[0]


def over_built_in(folder: Path | None) -> tuple[Shelf, list[Problem]]:
    """The operator's folder, if there is one, over ours, without what is wrong in it."""
    below = built_in()
    if folder is None:
        return below, []
    own, problems = read(folder, below)
    sound = replace(own, files={})
    for path, source in own.files.items():
        wrong = _what_is_wrong(path, replace(own, files={path: source}).over(below))
        if wrong:
            problems.append(Problem(path, wrong))
        else:
            sound = replace(sound, files={**sound.files, path: source})
    together = sound.over(below)
    problems += [Problem(f"{tag}.toml", what) for tag in own.catalogues for what in _lacks(tag, together)]
    if own != Shelf():
        problems += [Problem(tag, what) for tag in together.catalogues for what in _failures(tag, together)]
    return together, problems


def read(folder: Path, below: Shelf) -> tuple[Shelf, list[Problem]]:
    """What lies in a folder. Names that begin with a dot are not looked at: a mounted ConfigMap has such."""
    problems: list[Problem] = []
    sources = dict(_sources(folder, problems))
    templates: dict[str, Template] = {}
    try:
        templates = read_templates(sources.pop("templates.toml", ""))
    except Mistake as mistake:
        problems.append(Problem("templates.toml", str(mistake)))
    known = {**below.templates, **templates}
    catalogues, files = {}, {}
    for path, source in sources.items():
        tag = path.removesuffix(".toml")
        if path == tag:
            files[path] = source
            continue
        try:
            catalogues[tag], wrong = read_catalogue(source, known)
            problems += [Problem(path, what) for what in wrong]
        except Mistake as mistake:
            problems.append(Problem(path, str(mistake)))
    for path in [path for path in files if path not in LAYOUTS and path.split("/")[1] not in known]:
        problems.append(Problem(path, "there is no such template; templates.toml names them"))
        del files[path]
    return Shelf(templates, catalogues, files), problems


def _sources(folder: Path, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    for file in _files(folder, DEPTH):
        path = file.relative_to(folder).as_posix()
        if not _is_ours(path):
            problems.append(Problem(path, "nothing reads a file of this name"))
            continue
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise ValueError
            yield path, file.read_text("utf-8")
        except (OSError, ValueError):
            problems.append(Problem(path, f"is not UTF-8 text of at most {MAX_FILE_BYTES} bytes"))


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Symbolic links are followed: in a mounted ConfigMap everything is one."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and depth > 1:
            yield from _files(path, depth - 1)
        else:
            yield path


def _is_ours(path: str) -> bool:
    tag, *rest = path.removesuffix(".toml").split("/")
    if path.endswith(".toml"):
        return not rest and (tag == "templates" or written(tag) == tag)
    if path in LAYOUTS:
        return True
    return len(rest) == 2 and written(tag) == tag and bool(NAME.fullmatch(rest[0])) and rest[1] in FILES


def _what_is_wrong(path: str, shelf: Shelf) -> str | None:
    """A file is tried with sample parameters; a link or a code that a mail is sent for must be in it."""
    library = Library(shelf, TRIAL_BRAND)
    tag, *rest = path.split("/")
    for name in [rest[0]] if rest else shelf.templates:
        for params in samples(shelf, name):
            try:
                mail = library.mail(name, [tag] if rest else [ENGLISH], params)
            except CannotRender as error:
                return str(error).removeprefix(f"{path}: ")
            if path.endswith("subject.txt"):
                if not mail.subject:
                    return "is empty"
                continue
            body = mail.html if path.endswith(".html") else mail.text
            for param in shelf.templates[name].params & SECRETS:
                value = escape(params[param]) if path.endswith(".html") else params[param]
                if value not in body:
                    return f"does not show the {param} of {name}"
    return None


def _lacks(tag: str, shelf: Shelf) -> Iterator[str]:
    """Templates that are not whole in a language, so that another is used for them."""
    library = Library(shelf, TRIAL_BRAND)
    for name, template in shelf.templates.items():
        edition = library.edition(name, [tag])
        if tag not in edition.tags:
            words = shelf.catalogues[tag].words(name, template)
            lacking = ", ".join(sorted(template.needed - words.keys()))
            yield f"[{name}] lacks {lacking}: readers get it in another language"


def _failures(tag: str, shelf: Shelf) -> list[str]:
    """Why templates cannot be filled in in a language, whichever file it is; the built-in ones stand in for them."""
    library, found = Library(shelf, TRIAL_BRAND), []
    for name in shelf.templates:
        for params in samples(shelf, name):
            try:
                library.mail(name, [tag], params)
            except CannotRender as error:
                found.append(str(error))
                break
    return list(dict.fromkeys(found))
