"""Phone numbers: one spelling each."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

E164 = re.compile(r"[1-9][0-9]{6,14}")


def normalise_phone(phone: str) -> str:
    """The number in E.164 without the plus, as clients of supabase/auth see it. Raise ValueError if it is none."""
    digits = phone.strip().removeprefix("+").replace(" ", "")
    if not E164.fullmatch(digits):
        raise ValueError("Invalid phone number format (E.164 required)")
    return digits


Phone = Annotated[str, Field(max_length=32, examples=["+4915112345678"]), AfterValidator(normalise_phone)]
