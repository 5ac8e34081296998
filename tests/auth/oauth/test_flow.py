"""The whole way of an app: log-in, consent, code, tokens, userinfo."""

from tests.auth.conftest import Person, Service, claims_of
from tests.auth.oauth.apps import ISSUER, PLACE, browser_of, parameters, person_of, place_of, register


def test_an_app_learns_who_somebody_is(service: Service, alice: Person) -> None:
    app, tab = register(service), browser_of(alice)
    page = tab.open(app.request(nonce="n-1"))
    assert page.status == 200
    answer = tab.send(page.form, decision="allow")
    assert (answer.status, place_of(answer)) == (303, PLACE)
    told = parameters(answer)
    assert (told["state"], told["iss"]) == ("the state", ISSUER)
    tokens = app.redeem(told["code"])
    assert tokens.status == 200, tokens.text
    assert person_of(service, tokens["access_token"]).json == {
        "sub": alice.user_id, "email": "alice@example.com", "email_verified": True,
    }  # fmt: skip
    claims = claims_of(tokens["id_token"])
    assert (claims["iss"], claims["aud"], claims["sub"], claims["nonce"]) == (
        ISSUER, app.client_id, alice.user_id, "n-1",
    )  # fmt: skip
    assert app.refresh(tokens["refresh_token"]).status == 200
