"""Mails written to a folder to be looked at: each template in each language, as HTML and text, and a page of all."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from services.notify.library import CannotRender, Library
from services.notify.samples import samples

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Mails</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 960px; margin: 0 auto; padding: 16px; font: 16px/1.5 system-ui, sans-serif; }}
h2 {{ margin: 32px 0 8px; font: 600 17px/1.3 ui-monospace, Menlo, Consolas, monospace; }}
ul {{ margin: 0; padding: 0; list-style: none; }}
li {{ display: flex; flex-wrap: wrap; gap: 0 12px; padding: 4px 0; border-bottom: 1px solid #8884; }}
li a {{ padding: 8px 0; }}
.tag {{ width: 5em; padding: 8px 0; opacity: .7; }}
.subject {{ flex: 1 1 14em; padding: 8px 0; }}
</style>
</head>
<body>
<h1>Mails</h1>
<p>With sample parameters, as they would be sent now.</p>
{mails}
</body>
</html>
"""


def languages_of(library: Library) -> list[str]:
    """English first, for all others are measured by it."""
    return sorted(library.shelf.catalogues, key=lambda tag: (tag != "en", tag))


def write(library: Library, folder: Path, names: Sequence[str], tags: Sequence[str]) -> tuple[int, list[str]]:
    """How many mails were written, and what cannot be. One template's texts that depend on a parameter are numbered."""
    folder.mkdir(parents=True, exist_ok=True)
    sections, count, wrong = [], 0, []
    for name in names:
        rows = []
        for tag in tags:
            try:
                mails = list(_write_one(library, folder, name, tag))
            except CannotRender as error:
                wrong.append(f"{tag}: {error}")
                continue
            count += len(mails)
            rows += mails
        sections.append(f"<h2>{escape(name)}</h2>\n<ul>\n" + "\n".join(rows) + "\n</ul>")
    (folder / "index.html").write_text(PAGE.format(mails="\n".join(sections)), "utf-8")
    return count, wrong


def _write_one(library: Library, folder: Path, name: str, tag: str) -> Iterator[str]:
    """The rows of the page for one template in one language. How a reader without a name is greeted is left out."""
    said = set()
    for params in samples(library.shelf, name, tag):
        if not params["name"] and library.shelf.templates[name].greets:
            continue
        mail = library.mail(name, [tag], params)
        if mail in said:
            continue
        said.add(mail)
        stem = f"{name}.{tag}" if len(said) == 1 else f"{name}.{tag}.{len(said)}"
        (folder / f"{stem}.html").write_text(mail.html, "utf-8")
        (folder / f"{stem}.txt").write_text(
            f"{mail.subject}\n\n{mail.text}", "utf-8-sig"
        )  # a browser believes its mark
        yield (
            f'<li><span class="tag">{escape(tag)}</span>'
            f'<span class="subject" lang="{escape(mail.tag)}">{escape(mail.subject)}</span>'
            f'<a href="{stem}.html">HTML</a> <a href="{stem}.txt">text</a></li>'
        )
