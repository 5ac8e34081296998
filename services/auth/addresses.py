"""E-mail addresses: one spelling each."""

from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field


def normalise(email: str) -> str:
    """The address in lower case, with the domain in its Unicode form. Raise ValueError if it is none.

    Nothing is asked of DNS: an answer must not depend on somebody else's server. `.test` is taken, for test systems.
    """
    try:
        valid = validate_email(email, check_deliverability=False, test_environment=True, strict=True)
        return valid.normalized.lower()
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None


Email = Annotated[str, Field(max_length=254, examples=["alice@example.com"]), AfterValidator(normalise)]
