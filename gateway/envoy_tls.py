"""TLS for the rendered Envoy: a second listener, beside the plain one, with the same filters."""

from copy import deepcopy

from gateway.certificates import PROTOCOLS
from gateway.config import GatewaySettings
from gateway.envoy_limits import Json
from gateway.envoy_routes import header

KIND = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
CIPHERS = [
    f"ECDHE-{kind}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for kind in ("ECDSA", "RSA")
]


def over_tls(plain: Json, address: Json, settings: GatewaySettings) -> Json:
    """The listener again, at this address and over TLS. Envoy reads the pairs when it starts."""
    listener = deepcopy(plain)
    listener.update(name="door-tls", address=address)
    (chain,) = listener["filter_chains"]
    pairs = [
        {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
        for certificate, key in settings.tls_files
    ]
    context = {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",
            "cipher_suites": CIPHERS,
        },
        "alpn_protocols": PROTOCOLS,
        "tls_certificates": pairs,
    }
    chain["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": KIND, "common_tls_context": context},
    }
    chain["transport_socket_connect_timeout"] = f"{settings.tls_handshake_timeout_s:g}s"
    if settings.hsts_max_age_s:
        (manager,) = chain["filters"]
        table = manager["typed_config"]["route_config"]
        hsts = header("strict-transport-security", f"max-age={settings.hsts_max_age_s}")
        table["response_headers_to_add"] = [*table["response_headers_to_add"], hsts]
    return listener
