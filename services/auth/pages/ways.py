"""Ways to log in beside those of this service, as buttons of its page."""

from urllib.parse import urlencode

from services.auth.parts import here


def ways(return_to: str) -> list[tuple[str, str]]:
    """Name and address of each account elsewhere that lets in, and then leads back to `return_to`."""
    return [
        (provider.label, f"/auth/v1/authorize?{urlencode({'provider': name, 'return_to': return_to})}")
        for name, provider in here.providers.items()
        if provider.takes_browsers
    ]
