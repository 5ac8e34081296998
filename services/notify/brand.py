"""Whose mails these are: a name, a colour, a logo and a footer, without touching a template."""

from dataclasses import dataclass

DARK, LIGHT = "#1c1c1a", "#ffffff"


@dataclass(frozen=True)
class Brand:
    """`color` is #rrggbb, the button's; `logo_url` may be empty: then the name stands there."""

    app_name: str
    color: str
    logo_url: str = ""
    footer: str = ""

    @property
    def color_of_text(self) -> str:
        """What can be read on the colour (WCAG's relative luminance)."""
        own, dark = _luminance(self.color), _luminance(DARK)
        return LIGHT if 1.05 / (own + 0.05) >= (own + 0.05) / (dark + 0.05) else DARK


def _luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
