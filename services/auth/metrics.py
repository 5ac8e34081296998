"""What this service counts, beside what every service does."""

from prometheus_client import Counter

SIGN_UPS = Counter(
    "auth_sign_ups", "Sign-ups by result: created, guest, or repeated for an address that was there", ["result"]
)
LOG_INS = Counter("auth_log_ins", "Log-ins with a password by result", ["result"])
EXTERNAL_LOG_INS = Counter(
    "auth_external_log_ins", "Log-ins with accounts elsewhere, by provider and result", ["provider", "result"]
)
PROVIDER_REVOCATIONS = Counter(
    "auth_provider_revocations", "Refresh tokens given back to providers, by result", ["provider", "result"]
)
REFRESHES = Counter("auth_refreshes", "Refresh tokens presented, by what they meant (see rotation.py)", ["result"])
VERIFICATIONS = Counter("auth_verifications", "Links and codes of mails presented, by result", ["result"])
HOOK_CALLS = Counter("auth_hook_calls", "Calls of hooks by hook and result", ["hook", "result"])
AUDIT_ROWS = Counter("auth_audit_rows", "Rows written to the audit log, by action", ["action"])
SESSIONS_ENDED = Counter("auth_sessions_ended", "Sessions ended early, by reason", ["reason"])
FACTOR_CHECKS = Counter(
    "auth_factor_checks", "Answers to a second factor, by its kind and what became of them", ["kind", "result"]
)
CAPTCHAS = Counter(
    "auth_captchas", "Captchas by result: solved, refused, missing, failed (no verdict), or passed_over", ["result"]
)
MESSAGES_ADMITTED = Counter("auth_messages_admitted", "Messages ordered and counted, by channel", ["channel"])
THROTTLED = Counter("auth_throttled", "Tries that were refused unjudged, by the count that was full", ["by"])
