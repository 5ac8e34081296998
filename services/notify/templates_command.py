"""`python -m services.notify templates …`: an operator's templates checked, written out to be looked at, or sent."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from services.notify import channels, previews, shelves
from services.notify.library import CannotRender, Library
from services.notify.mail_settings import MailSettings
from services.notify.providers import Mail, Outcome
from services.notify.samples import samples
from shared.ids import new_id

Say = Callable[[str], None]
OUT = Path(".local/mails")
SEND_WITHIN_S = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", required=True, metavar="check | preview | send")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--folder", type=Path, help="the operator's folder; else MAIL_TEMPLATES_DIR")
    verbs.add_parser("check", parents=[common], help="name what is wrong in the folder; status 1 if anything is")
    preview = verbs.add_parser("preview", parents=[common], help="write all mails with sample parameters")
    preview.add_argument("--template", help="only this one")
    preview.add_argument("--locale", help="only in this language, or what stands in for it")
    preview.add_argument("--out", type=Path, default=OUT, help=f"where to; {OUT} unless told")
    send = verbs.add_parser("send", parents=[common], help="send one mail with sample parameters through the relay")
    send.add_argument("--to", required=True, help="the address")
    send.add_argument("--template", default="confirm_signup")
    send.add_argument("--locale", default="en")


def run(arguments: argparse.Namespace, settings: MailSettings, say: Say) -> int:
    """The exit status: 0, 1 if something is wrong with the templates, 2 if there is no such folder or template."""
    folder = arguments.folder or settings.mail_templates_dir
    if folder is not None and not folder.is_dir():
        say(f"{folder}: there is no such folder")
        return 2
    shelf, problems = shelves.over_built_in(folder)
    library = Library(shelf, settings.brand, settings.mail_locale)
    for problem in problems:
        say(f"{problem} (left out)")
    if arguments.what != "check" and arguments.template and arguments.template not in shelf.templates:
        say(f"there is no template {arguments.template}; there are {', '.join(shelf.templates)}")
        return 2
    if arguments.what == "preview":
        return _preview(library, arguments, say) or bool(problems)
    if arguments.what == "send":
        return _send(library, settings, arguments, say)
    if not problems:
        say(f"{len(shelf.templates)} templates in {', '.join(previews.languages_of(library))}: in order")
    return int(bool(problems))


def _preview(library: Library, arguments: argparse.Namespace, say: Say) -> int:
    names: Sequence[str] = [arguments.template] if arguments.template else list(library.shelf.templates)
    tags = [arguments.locale] if arguments.locale else previews.languages_of(library)
    count, wrong = previews.write(library, arguments.out, names, tags)
    for line in wrong:
        say(line)
    say(f"{count} mails: {arguments.out.resolve() / 'index.html'}")
    return int(bool(wrong))


def _send(library: Library, settings: MailSettings, arguments: argparse.Namespace, say: Say) -> int:
    try:
        params = next(samples(library.shelf, arguments.template, arguments.locale))
        written = library.mail(arguments.template, [arguments.locale], params)
    except CannotRender as error:
        say(str(error))
        return 1
    mailer = channels.mailer(settings, timeout_s=SEND_WITHIN_S / 2)
    mail = Mail(new_id(), arguments.to, written.subject, written.text, written.html, written.tag)
    (result,) = mailer.send([mail], until=time.monotonic() + SEND_WITHIN_S)
    mailer.close()
    say(f"{arguments.to}: {result.outcome.value}" + (f" ({result.reason})" if result.reason else ""))
    return int(result.outcome is not Outcome.ACCEPTED)
