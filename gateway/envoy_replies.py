"""What Envoy itself answers, as the problem documents clients know (RFC 9457)."""

from typing import Any

Json = dict[str, Any]
MEDIA_TYPE = "application/problem+json"
# (status, title, code, detail) of refusals that Envoy makes under the same status.
BY_STATUS = [
    (400, "Bad Request", "malformed_request", "The request is not acceptable HTTP."),
    (401, "Unauthorized", "token_refused", "The token is not good."),
    (403, "Forbidden", "insufficient_scope", "The token lacks a scope this needs."),
    (404, "Not Found", "not_found", "There is nothing at this address."),
    (405, "Method Not Allowed", "method_not_allowed", "This method is not allowed here."),
    (408, "Request Timeout", "request_timeout", "The request did not come in time."),
    (413, "Content Too Large", "payload_too_large", "The body is larger than this accepts."),
    (414, "URI Too Long", "uri_too_long", "The request target is too long."),
    (429, "Too Many Requests", "rate_limited", "A limit is reached."),
    (431, "Request Header Fields Too Large", "headers_too_large", "The request's header fields are too large."),
    (502, "Bad Gateway", "upstream_protocol_error", "The service gave an answer that is not HTTP."),
    (503, "Service Unavailable", "upstream_busy", "The service has too many requests to answer."),
    (504, "Gateway Timeout", "upstream_timeout", "The service did not answer in time."),
]
# Envoy says 503 of every upstream that fails; its response flags tell the ways apart.
BY_FLAG = [
    (["UH"], (503, "Service Unavailable", "upstream_unavailable", "The service does not work at the moment.")),
    (["UF"], (502, "Bad Gateway", "upstream_unreachable", "The service cannot be reached.")),
    (["UC", "UR", "LR", "UPE"], (502, "Bad Gateway", "upstream_protocol_error", "The service broke off its answer.")),
]


def local_replies() -> Json:
    """`local_reply_config`: the first mapper that matches wins."""
    mappers = [_mapper({"response_flag_filter": {"flags": flags}}, *words) for flags, words in BY_FLAG]
    no_token = {"header_filter": {"header": {"name": "authorization", "present_match": False}}}
    missing = (401, "Unauthorized", "token_missing", "This needs an access token.")
    mappers.append(_mapper({"and_filter": {"filters": [_is_status(401), no_token]}}, *missing))
    mappers += [_mapper(_is_status(words[0]), *words) for words in BY_STATUS]
    return {"mappers": mappers}


def _is_status(status: int) -> Json:
    value = {"default_value": status, "runtime_key": "gatehouse.status"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _mapper(chosen_by: Json, status: int, title: str, code: str, detail: str) -> Json:
    document = {
        "type": f"urn:gatehouse:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    added = [("cache-control", "no-store")]
    if status == 429 or code == "upstream_unavailable":
        added.append(("retry-after", "1"))
    if status == 403:
        added.append(("www-authenticate", 'Bearer error="insufficient_scope"'))
    return {
        "filter": chosen_by,
        "status_code": status,
        "body_format_override": {"json_format": document, "content_type": MEDIA_TYPE},
        "headers_to_add": [
            {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for name, value in added
        ],
    }
