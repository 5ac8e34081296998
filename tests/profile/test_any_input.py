"""Whatever is sent, the answer is a success or a problem that says why, never a 500."""

import json
import unicodedata

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ME = "/profile/v1/me"
ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)
FIELDS = st.sampled_from(["display_name", "bio", "locale", "timezone", "visibility", "version"])
SOME = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SOME
@given(st.dictionaries(FIELDS, ANY, max_size=5))
def test_any_patch_is_taken_or_refused(as_alice, patch):
    answer = as_alice.patch(ME, data=json.dumps(patch).encode())
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert answer.json["code"] in ("validation_failed", "malformed_json")


@SOME
@given(st.text(min_size=1, max_size=70))
def test_a_name_that_is_taken_comes_back_normalised(as_alice, name):
    answer = as_alice.patch(ME, data=json.dumps({"display_name": name}).encode())
    if answer.status_code == 200:
        assert answer.json["display_name"] == unicodedata.normalize("NFC", name).strip()
        assert as_alice.get(ME).json["display_name"] == answer.json["display_name"]


@SOME
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_are_an_empty_patch(as_alice, data):
    assert as_alice.patch(ME, data=data).status_code in (200, 400)
