"""The pages this service shows to people: readable on a phone, without script, in seven languages."""

from services.auth.pages.consent import consent
from services.auth.pages.links import ask, done, expired, halfway, lead_to, type_the_code
from services.auth.pages.refusals import answer_problem, ask_to_log_out, refusal, show_problems, signed_out

__all__ = [
    "answer_problem",
    "ask",
    "ask_to_log_out",
    "consent",
    "done",
    "expired",
    "halfway",
    "lead_to",
    "refusal",
    "show_problems",
    "signed_out",
    "type_the_code",
]
