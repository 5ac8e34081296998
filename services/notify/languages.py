"""Language tags (BCP 47): how one is written, what stands in for it, which way it runs, and the fonts it asks for."""

import re

ENGLISH = "en"
TAG = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")
MAX_TAG = 35
OLD = {"iw": "he", "in": "id", "ji": "yi"}  # as Android still says them
TRADITIONAL = {"TW", "HK", "MO"}  # where Chinese is written in traditional characters unless the tag says otherwise
RIGHT_TO_LEFT = {"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"}
LATIN_FONTS = "-apple-system, BlinkMacSystemFont, Segoe UI, Roboto, Helvetica Neue, Arial"
FONTS = {
    "ja": "Hiragino Sans, Yu Gothic, Meiryo, Noto Sans JP, Noto Sans CJK JP",
    "ko": "Apple SD Gothic Neo, Malgun Gothic, Noto Sans KR, Noto Sans CJK KR",
    "zh": "PingFang SC, Microsoft YaHei, Noto Sans SC, Noto Sans CJK SC",
    "zh-Hant": "PingFang TC, Microsoft JhengHei, Noto Sans TC, Noto Sans CJK TC",
}


def written(wanted: str) -> str | None:
    """The tag in its customary form (`pt_br` is pt-BR, `ZH-hant-tw` is zh-Hant-TW), or None if it is none."""
    if len(wanted) > MAX_TAG or not TAG.fullmatch(wanted):
        return None
    first, *others = wanted.replace("_", "-").split("-")
    language = OLD.get(first.lower(), first.lower())
    return "-".join([language, *(_part(part) for part in others)])


def _part(part: str) -> str:
    if len(part) == 4 and part.isalpha():
        return part.title()
    return part.upper() if len(part) == 2 else part.lower()


def stand_ins(wanted: str) -> list[str]:
    """Tags of one language to look for, in order: `pt-BR` gives pt-BR, pt; `zh-TW` gives zh-TW, zh-Hant, zh.

    Who reads traditional characters would rather read simplified ones than English. [] if it is no tag.
    """
    tag = written(wanted)
    if tag is None:
        return []
    parts = tag.split("-")
    found = ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
    if parts[0] == "zh" and "Hans" not in parts and TRADITIONAL & set(parts):
        found.insert(-1, "zh-Hant")
    return list(dict.fromkeys(found))


def direction(tag: str) -> str:
    return "rtl" if tag.split("-")[0] in RIGHT_TO_LEFT else "ltr"


def fonts(tag: str) -> str:
    """What `font-family` may hold, the language's own fonts after the Latin ones; no name needs quotes in CSS."""
    own = next((FONTS[each] for each in stand_ins(tag) if each in FONTS), None)
    return ", ".join(filter(None, [LATIN_FONTS, own, "sans-serif"]))
