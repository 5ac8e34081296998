"""One spelling for one path (RFC 3986, section 6.2.2), so that no spelling reaches a route another would not."""

import re

from gateway.problems import malformed

# What an ordinary path does not hold: one search tells that nothing further needs to be looked at.
_UNUSUAL = re.compile(rb"[^\x21-\x7e]|//|[\\#%]|/\.")
# Raw bytes that are not visible ASCII, `//`, backslash, fragment; a `%` without two hex digits; an encoded
# slash, backslash, NUL or control character, whatever the case.
_REFUSED = re.compile(rb"[^\x21-\x7e]|//|[\\#]|%(?![0-9A-Fa-f]{2})|%(?:2[fF]|5[cC]|[01][0-9A-Fa-f]|7[fF])")
# `.` and `..` as a segment, with or without a `;parameter` that some servers cut off before they look.
_DOT_SEGMENT = re.compile(rb"/\.{1,2}(?=[/;]|$)")
_UNRESERVED = re.compile(rb"%(?:2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aA]|5[fF]|6[1-9a-fA-F]|7[0-9aA]|7[eE])")


def normalise(path: bytes) -> bytes:
    """The path with needless percent-encoding undone; raise BadRequest(malformed_request) for an ambiguous one."""
    if path[:1] != b"/":
        raise malformed("The request target must be a path that begins with a slash.")
    if _UNUSUAL.search(path) is None:
        return path
    if _REFUSED.search(path):
        raise malformed("The path holds a character or an encoding that is not accepted.")
    if b"%" in path:
        path = _UNRESERVED.sub(lambda match: bytes([int(match[0][1:], 16)]), path)
    if b"/." in path and _DOT_SEGMENT.search(path):
        raise malformed("The path holds a dot segment.")
    return path
