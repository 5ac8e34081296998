"""Ways to log in beside those of this service, as buttons of its page."""


def ways(return_to: str) -> list[tuple[str, str]]:
    """Name and address of each account elsewhere that lets in, and then leads back to `return_to`. None so far."""
    return []
