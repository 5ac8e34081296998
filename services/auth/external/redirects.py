"""The way through the browser: to the provider, back from it, and on to the app with a session, a code or an error."""

from typing import Any

from flask import Response
from pydantic import Field

from services.auth import links, models, pages, store
from services.auth.assurance import require_caller, require_step_up
from services.auth.browser import require_return_to
from services.auth.codes import make_auth_code
from services.auth.external import accounts, flows, kept_tokens, outcomes
from services.auth.external.carried import METHOD, Carried, link, require_session
from services.auth.external.id_tokens import Account
from services.auth.external.outcomes import Said
from services.auth.external.provider import Provider, Tokens
from services.auth.metrics import EXTERNAL_LOG_INS
from services.auth.pages.entry import Seat
from services.auth.pages.layout import show
from services.auth.pages.log_in import ask_to_log_in
from services.auth.pages.words import say
from services.auth.parts import here
from services.auth.pkce import Challenge
from services.auth.places import with_fragment, with_query
from services.auth.sessions import open_session, session_answer
from services.auth.store import ExternalFlow
from shared.errors import BadRequest, Problem, Unavailable, ValidationFailed
from shared.routing import Answer, Blueprint, Form, caller, public, user

bp = Blueprint("external", __name__, url_prefix="/auth/v1")

# The words of RFC 6749 for what went wrong, as supabase/auth chooses them.
ERRORS = {400: "invalid_request", 401: "unauthorized_client", 403: "access_denied", 503: "temporarily_unavailable"}
DENIALS = frozenset({"signup_disabled", "user_banned", "provider_email_needs_verification"})


class WayQuery(models.RedirectQuery):
    provider: str = Field("", max_length=64)
    scopes: str | None = Field(None, max_length=1_024, description="beside those of the setting")
    code_challenge: str | None = Field(None, max_length=256)
    code_challenge_method: str | None = Field(None, max_length=16, description="`s256` or `plain`")
    skip_http_redirect: bool = False
    return_to: str | None = Field(None, description="a page of this service that asks who somebody is")
    flow: str | None = Field(None, max_length=64, description="what an app got to link an account")


class OutcomeQuery(Said, models.ClientQuery):
    """What a provider puts on the address."""


class OutcomeForm(Said, Form):
    """What a provider has the browser post (`response_mode=form_post`)."""


class Address(Answer):
    url: str


@bp.get("/authorize", status=302)
@public
def begin_external_log_in(query: WayQuery) -> Response:
    """To the provider. What the provider is asked beside the usual goes along (`prompt`, `login_hint`, …)."""
    secret = flows.browser()
    if query.flow is not None:
        return flows.hand_over(_open(query.flow, secret), secret)
    provider, asked = _provider(query.provider), flows.asked(query.scopes)
    if query.return_to is not None:
        flow = ExternalFlow(provider.name, require_return_to(query.return_to), is_page=True)
    else:
        flow = _flow(provider, query)
    try:
        provider.metadata()  # if it is down, that is said before anything is kept
    except Unavailable as problem:
        if flow.is_page:
            return ask_to_log_in(flow.place, "", problem)
        raise
    with here.db.transaction() as conn:
        state = flows.begin(conn, flow, secret)
    return flows.hand_over(_lead_to(flows.address(provider, state, secret, asked)), secret)


@bp.get("/user/identities/authorize")
@user
def begin_linking(query: WayQuery) -> Address | Response:
    """Where the caller's browser is to go to link an account elsewhere; a redirect without `skip_http_redirect`."""
    provider = _provider(query.provider)
    provider.metadata()
    flow = _flow(provider, query, session_id=caller().session_id, asked=flows.asked(query.scopes))
    with here.db.transaction() as conn:
        require_step_up(require_caller(conn, guests=True), "link an identity")
        state = flows.begin(conn, flow, None)
    url = f"{here.settings.public_url}/auth/v1/authorize?flow={state}"
    return Address(url=url) if query.skip_http_redirect else _lead_to(url)


@bp.get("/callback", status=303)
@public
def end_external_log_in(query: OutcomeQuery) -> Response:
    """Back from the provider."""
    return _end(query)


@bp.post("/callback", status=303)
@public
def end_external_log_in_by_form(form: OutcomeForm) -> Response:
    """Back from a provider that has the browser post its answer, as Apple does."""
    return _end(form)


def _end(said: Said) -> Response:
    with here.db.transaction() as conn:
        flow = flows.consume(conn, said.state)
    if flow is None:
        lost = BadRequest("OAuth state not found or expired", code="bad_oauth_state")
        site = here.settings.places.choose(None)
        return pages.lead_to(_with_error(site, lost)) if site else pages.answer_problem(lost)
    try:
        onward = _go_on(flow, said)
    except Problem as problem:
        EXTERNAL_LOG_INS.labels(flow.provider, problem.code).inc()
        if flow.is_page:
            return ask_to_log_in(flow.place, "", problem)
        return pages.lead_to(_with_error(flow.place, problem))
    EXTERNAL_LOG_INS.labels(flow.provider, "succeeded").inc()
    return onward


def _go_on(flow: ExternalFlow, said: Said) -> Response:
    provider = _provider(flow.provider)
    account, tokens = outcomes.read(provider, said, flows.browser())
    if flow.session_id is not None:
        return _link(flow, account, tokens)
    accounts.ask_hook(account)
    seat, carried = Seat(), Carried(provider.name, tokens.access_token, tokens.refresh_token)
    with here.db.transaction() as conn:
        user = accounts.enter(conn, account)
        kept_tokens.keep(conn, account, tokens.refresh_token)
        if flow.challenge is not None:
            code = make_auth_code(conn, user.id, METHOD, flow.challenge, carried.encode())
            return pages.lead_to(with_query(flow.place, {"code": code}))
        session = open_session(conn, user, METHOD, provider=provider.name)
        if flow.is_page:
            seat.take(conn, session)
    if flow.is_page:
        return seat.lead_on(user, session, flow.place)
    return pages.lead_to(_with_session(flow.place, session_answer(user, session), tokens))


def _link(flow: ExternalFlow, account: Account, tokens: Tokens) -> Response:
    """For an app that kept a verifier the account waits in the code; else it is linked now, as the person agreed."""
    assert flow.session_id is not None  # noqa: S101 — asked by the caller
    with here.db.transaction() as conn:
        if flow.challenge is not None:
            owner, _ = require_session(conn, flow.session_id)
            accounts.require_free(conn, account, owner)
            carried = Carried(
                account.provider, tokens.access_token, tokens.refresh_token, account, str(flow.session_id)
            )
            code = make_auth_code(conn, owner.id, METHOD, flow.challenge, carried.encode())
            return pages.lead_to(with_query(flow.place, {"code": code}))
        owner, session = link(conn, flow.session_id, account)
        kept_tokens.keep(conn, account, tokens.refresh_token)
    return pages.lead_to(_with_session(flow.place, session_answer(owner, session), tokens))


def _open(state: str, secret: str) -> Response:
    """What an app got to link an account is opened in a browser. Where no verifier will tell that it is the person's
    own, they are asked: somebody else may have sent them the address."""
    with here.db.transaction() as conn:
        flow = store.open_external_flow(conn, flows.hash_of(state), flows.hash_of(secret))
        found = store.get_session_and_user(conn, flow.session_id) if flow and flow.session_id else None
    if flow is None or found is None:
        return pages.answer_problem(
            BadRequest("This link was opened before, or it is too old.", code="bad_oauth_state")
        )
    provider = _provider(flow.provider)
    address = flows.address(provider, state, secret, flow.asked)
    if flow.challenge is not None:
        return _lead_to(address)
    owner = found[0].email or found[0].phone
    return show(
        "said.html",
        has_secret_address=True,
        title=say("Link an account"),
        text=say("Your account with {name} will log in to {owner} from now on.", name=provider.label, owner=owner)
        if owner
        else say("Your account with {name} will log in to the app that you come from.", name=provider.label),
        more=say("If that is not your account, close this window."),
        onward=address,
        onward_text=say("Go on"),
    )


def _provider(name: str) -> Provider:
    """Raise ValidationFailed for one that is not set, or cannot be asked by a browser."""
    provider = here.providers.get(name.lower())
    if provider is None or not provider.takes_browsers:
        raise ValidationFailed("Unsupported provider: provider is not enabled")
    return provider


def _flow(provider: Provider, query: WayQuery, **more: Any) -> ExternalFlow:
    challenge = Challenge.of(query.code_challenge, query.code_challenge_method)
    place = here.settings.places.choose(query.redirect_to)
    if place is None:
        raise ValidationFailed("There is no place to lead to: redirect_to is not allowed, and SITE_URL is not set.")
    return ExternalFlow(
        provider.name,
        place,
        code_challenge=challenge.challenge if challenge else None,
        code_challenge_method=challenge.method if challenge else None,
        **more,
    )


def _with_session(place: str, session: models.Session, tokens: Tokens) -> str:
    """In the fragment, with the tokens of the provider, as clients of supabase/auth look for them."""
    theirs = {"provider_token": tokens.access_token, "provider_refresh_token": tokens.refresh_token}
    return with_fragment(place, {**links.in_fragment(session), **{k: v for k, v in theirs.items() if v}})


def _with_error(place: str, problem: Problem) -> str:
    """In the query and in the fragment, for clients look at either."""
    error = "access_denied" if problem.code in DENIALS else ERRORS.get(problem.status, "server_error")
    said = {"error": error, "error_code": problem.code, "error_description": problem.detail}
    if isinstance(problem, outcomes.Denied):
        said = {"error": problem.error, "error_description": problem.detail}
    return with_fragment(with_query(place, said), {**said, "sb": ""})


def _lead_to(url: str) -> Response:
    headers = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(status=302, headers=headers)
