"""Settings of what slows down guessing and floods (see `throttles.py`)."""

from pydantic import BaseModel, Field


class ProtectionSettings(BaseModel):
    log_in_tries: int = Field(
        10, ge=1, description="wrong tries at one account from one place at once, and as many in a window; then pauses"
    )
    log_in_tries_per_account: int = Field(
        50, ge=1, description="the same from all places together where its owner never logged in"
    )
    log_in_tries_per_place: int = Field(100, ge=1, description="the same at all accounts together, from one place")
    log_in_window_s: int = Field(3_600, ge=1, description="length of that window")
    guests_per_place: int = Field(30, ge=1, description="guests from one place at once, and as many in a window")
