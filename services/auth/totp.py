"""Time-based codes (RFC 6238) without I/O: seeds, their QR code, and the time step that a code belongs to."""

import hmac
import io
import time

import pyotp
import segno

PERIOD_S = 30
DIGITS = 6
SEED_CHARACTERS = 32  # of base32: 160 bits, the length of the SHA-1 that every authenticator app knows
STEPS = (0, -1, 1)  # a phone's clock may be off, and typing takes time


def new_seed() -> str:
    """160 random bits in base32."""
    return pyotp.random_base32(SEED_CHARACTERS)


def uri(seed: str, account: str, issuer: str) -> str:
    """What the QR code says: `otpauth://totp/…`."""
    return pyotp.TOTP(seed).provisioning_uri(name=account, issuer_name=issuer)


def qr_code(text: str) -> str:
    """An SVG. It holds no `#`: clients put `data:image/svg+xml;utf-8,` before it and escape nothing."""
    drawn = io.BytesIO()
    segno.make_qr(text, error="m").save(drawn, kind="svg", xmldecl=False, nl=False, scale=4, dark="#000", light="#fff")
    return drawn.getvalue().decode().replace('"#000"', '"black"').replace('"#fff"', '"white"')


def step_of(seed: str, code: str, at: float | None = None) -> int | None:
    """The time step around `at` (now) that this is the code of, one before or after at most; None if it is of none."""
    now = int(time.time() if at is None else at) // PERIOD_S
    totp = pyotp.TOTP(seed)
    matches = [
        now + step for step in STEPS if hmac.compare_digest(totp.generate_otp(now + step).encode(), code.encode())
    ]
    return matches[0] if matches else None
