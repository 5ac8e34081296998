"""The ceremonies of WebAuthn (level 3, sections 7.1 and 7.2) without I/O; `webauthn` does the checks.

What arrives was made by a stranger: whatever is wrong with it, and however the library says so, it is Refused.
"""

import base64
import binascii
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import webauthn
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography, options_to_json_dict
from webauthn.helpers.cose import COSEAlgorithmIdentifier as Algorithm
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from services.auth.relying_party import RelyingParty
from services.auth.rows import Credential, NewKey, User

log = logging.getLogger(__name__)
T = TypeVar("T")

ALGORITHMS = [Algorithm.ECDSA_SHA_256, Algorithm.EDDSA, Algorithm.RSASSA_PKCS1_v1_5_SHA_256]
RSA_BITS = range(2048, 4097)  # more would let a stranger choose how long we work
RSA_EXPONENT = 65_537
MAX_CREDENTIAL_ID = 1023  # WebAuthn level 3, section 7.1, step 25
TIMEOUT_MS = 300_000


class Refused(Exception):
    """A response that proves nothing. The text is for the log, not for the caller."""


@dataclass(frozen=True)
class Shown:
    """A key that was shown to be there."""

    sign_count: int
    is_backed_up: bool
    is_user_verified: bool


def creation_options(
    party: RelyingParty, user: User, known: Sequence[Credential], challenge: bytes, *, is_passkey: bool
) -> dict[str, Any]:
    """What `navigator.credentials.create` takes. A passkey is discoverable and verifies its user."""
    resident = ResidentKeyRequirement.REQUIRED if is_passkey else ResidentKeyRequirement.DISCOURAGED
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_id=user.id.bytes,
        user_name=user.email or user.phone or str(user.id),
        challenge=challenge,
        timeout=TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=resident, require_resident_key=is_passkey, user_verification=_verification(is_passkey)
        ),
        exclude_credentials=_descriptors(known),
        supported_pub_key_algs=ALGORITHMS,
    )
    return options_to_json_dict(options)


def request_options(
    party: RelyingParty, allowed: Sequence[Credential], challenge: bytes, *, is_passkey: bool
) -> dict[str, Any]:
    """What `navigator.credentials.get` takes. Without `allowed` the authenticator offers the passkeys it has."""
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        allow_credentials=_descriptors(allowed),
        user_verification=_verification(is_passkey),
    )
    return options_to_json_dict(options)


def register(
    party: RelyingParty, credential: Mapping[str, Any], challenges: Sequence[bytes], *, is_passkey: bool
) -> NewKey:
    """The key that was made. Raise Refused."""
    challenge = _signed_challenge(credential, challenges)
    verified = _refused_unless_right(
        lambda: webauthn.verify_registration_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_verification=is_passkey,
            supported_pub_key_algs=ALGORITHMS,
        )
    )
    _refused_unless_right(lambda: _require_sound(verified.credential_public_key))
    if len(verified.credential_id) > MAX_CREDENTIAL_ID:
        raise Refused("the credential's id is too long")
    return NewKey(
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        aaguid=UUID(verified.aaguid),
        is_backup_eligible=verified.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
        is_backed_up=verified.credential_backed_up,
        transports=_transports(credential),
    )


def authenticate(
    party: RelyingParty,
    credential: Mapping[str, Any],
    challenges: Sequence[bytes],
    key: Credential,
    *,
    is_passkey: bool,
) -> Shown:
    """What the response shows of this key. Raise Refused. Whether its counter moved on is for the caller to judge."""
    challenge = _signed_challenge(credential, challenges)
    verified = _refused_unless_right(
        lambda: webauthn.verify_authentication_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=bytes(key.public_key),
            credential_current_sign_count=0,
            require_user_verification=is_passkey,
        )
    )
    if verified.credential_id != bytes(key.credential_id):
        raise Refused("signed with another key")
    if (verified.credential_device_type is CredentialDeviceType.MULTI_DEVICE) is not key.is_backup_eligible:
        raise Refused("a key that can be copied to other devices became one that cannot, or the other way round")
    return Shown(verified.new_sign_count, verified.credential_backed_up, verified.user_verified)


def names(credential: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The ids of key and user that a response names, either empty if it names none. Raise Refused."""
    response = credential.get("response")
    handle = response.get("userHandle") if isinstance(response, dict) else None
    return _decoded(credential.get("rawId")), _decoded(handle or "")


def _signed_challenge(credential: Mapping[str, Any], challenges: Sequence[bytes]) -> bytes:
    """The one of our challenges that was signed, or the first, which the library then refuses.

    What comes from a page inside another site's page is refused here: no app of ours is framed.
    """
    response = credential.get("response")
    client_data = _decoded(response.get("clientDataJSON") if isinstance(response, dict) else None)
    said = _refused_unless_right(lambda: json.loads(client_data))
    if not isinstance(said, dict) or said.get("crossOrigin") not in (None, False):
        raise Refused("not from a page of ours")
    signed = _decoded(said.get("challenge"))
    return next((challenge for challenge in challenges if challenge == signed), challenges[0])


def _decoded(text: Any) -> bytes:
    """Bytes of base64url without padding, as WebAuthn sends them. Raise Refused."""
    if not isinstance(text, str):
        raise Refused("a member is missing")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Refused("a member is no base64url") from None


def _refused_unless_right(check: Callable[[], T]) -> T:
    try:
        return check()
    except Exception as error:  # the library and what it builds on raise many kinds for bytes that make no sense
        raise Refused(f"{type(error).__name__}: {error}") from error


def _require_sound(public_key: bytes) -> None:
    """Raise unless key and algorithm belong together: one that claims another's would never verify, or too easily."""
    decoded = decode_credential_public_key(public_key)
    key = decoded_public_key_to_cryptography(decoded)
    match decoded.alg:
        case Algorithm.ECDSA_SHA_256:
            is_sound = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        case Algorithm.EDDSA:
            is_sound = isinstance(key, ed25519.Ed25519PublicKey)
        case Algorithm.RSASSA_PKCS1_v1_5_SHA_256:
            is_sound = isinstance(key, rsa.RSAPublicKey) and _is_usual(key)
        case _:
            is_sound = False
    if not is_sound:
        raise Refused("the key is not one of its algorithm")


def _is_usual(key: rsa.RSAPublicKey) -> bool:
    return key.key_size in RSA_BITS and key.public_numbers().e == RSA_EXPONENT


def _verification(is_passkey: bool) -> UserVerificationRequirement:
    return UserVerificationRequirement.REQUIRED if is_passkey else UserVerificationRequirement.PREFERRED


def _descriptors(keys: Sequence[Credential]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            id=bytes(key.credential_id), transports=[AuthenticatorTransport(one) for one in key.transports] or None
        )
        for key in keys
    ]


def _transports(credential: Mapping[str, Any]) -> list[str]:
    said = credential["response"].get("transports")
    known = {transport.value for transport in AuthenticatorTransport}
    return sorted({one for one in said if isinstance(one, str)} & known) if isinstance(said, list) else []
