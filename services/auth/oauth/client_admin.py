"""What administrators do with clients, as supabase/auth offers it; each deed leaves a row in the log.

What reaches into the house's own API is not theirs to give: see `commands.py`.
"""

from flask import Response

from services.auth import audit, store
from services.auth.admin.access import require_admin
from services.auth.admin.models import PER_PAGE, Number
from services.auth.models import ClientQuery
from services.auth.oauth import clients
from services.auth.oauth.client_models import (
    ClientPath,
    NewOAuthClient,
    OAuthClient,
    OAuthClientChange,
    OAuthClientPage,
    OAuthClientWithSecret,
)
from services.auth.oauth.endings import end_grants_of_client
from services.auth.parts import here
from services.auth.scopes import ADMIN_SCOPE
from shared.errors import BadRequest, NotFound
from shared.ids import new_id
from shared.routing import Blueprint, user

bp = Blueprint("oauth_clients", __name__, url_prefix="/auth/v1/admin/oauth")


class ClientsQuery(ClientQuery):
    page: Number = None
    per_page: Number = None


@bp.get("/clients")
@user(scope=ADMIN_SCOPE)
def list_clients(query: ClientsQuery) -> OAuthClientPage | Response:
    """Clients, the newest first, by page. `Link` names the next page as long as there is one; nothing is counted."""
    page, per_page = query.page or 1, query.per_page or PER_PAGE
    with here.db.transaction() as conn:
        require_admin(conn)
        found = store.list_oauth_clients(conn, skip=(page - 1) * per_page, limit=per_page + 1)
        audit.note(conn, "clients.listed", None)
    answer = OAuthClientPage(clients=[OAuthClient.of(client) for client in found[:per_page]])
    has_more = len(found) > per_page
    headers = {"Link": f'<clients?page={page + 1}&per_page={per_page}>; rel="next"'} if has_more else {}
    return Response(answer.model_dump_json(), 200, headers, mimetype="application/json")


@bp.post("/clients", status=201)
@user(scope=ADMIN_SCOPE)
def create_client(body: NewOAuthClient) -> OAuthClientWithSecret:
    """Register a third party's app. Its secret, if it has one, is in this answer and nowhere else."""
    secret, secret_hash = (None, None) if body.token_endpoint_auth_method == clients.NONE else clients.new_secret()
    new = store.NewClient(
        id=new_id(),
        name=body.client_name,
        secret_hash=secret_hash,
        auth_method=body.token_endpoint_auth_method,
        redirect_uris=body.redirect_uris,
        post_logout_redirect_uris=body.post_logout_redirect_uris,
        grant_types=body.grant_types or [clients.CODE, clients.REFRESH],
        scopes=body.scope.split(),
        resources=[],
        is_first_party=False,
        client_uri=body.client_uri,
        logo_uri=body.logo_uri,
    )
    with here.db.transaction() as conn:
        require_admin(conn)
        client = store.insert_oauth_client(conn, new)
        audit.note(conn, "client.created", client.id)
    return OAuthClientWithSecret.with_secret(client, secret)


@bp.get("/clients/<client_id>")
@user(scope=ADMIN_SCOPE)
def show_client(path: ClientPath) -> OAuthClient:
    """One client."""
    with here.db.transaction() as conn:
        require_admin(conn)
        client = _known(store.get_oauth_client(conn, path.client_id))
        audit.note(conn, "client.read", client.id)
    return OAuthClient.of(client)


@bp.put("/clients/<client_id>")
@user(scope=ADMIN_SCOPE)
def alter_client(path: ClientPath, body: OAuthClientChange) -> OAuthClient:
    """Change what is given. Places of the house's own clients are changed at the command line alone."""
    with here.db.transaction() as conn:
        require_admin(conn)
        before = _known(store.get_oauth_client(conn, path.client_id))
        _require_changeable(before, body)
        after = store.update_oauth_client(
            conn,
            before.id,
            name=body.client_name,
            redirect_uris=body.redirect_uris,
            post_logout_redirect_uris=body.post_logout_redirect_uris,
            grant_types=list(body.grant_types) if body.grant_types else None,
            auth_method=body.token_endpoint_auth_method,
            client_uri=body.client_uri,
            logo_uri=body.logo_uri,
        )
        audit.note(conn, "client.changed", before.id)
    return OAuthClient.of(_known(after))


@bp.delete("/clients/<client_id>")
@user(scope=ADMIN_SCOPE)
def delete_client(path: ClientPath) -> None:
    """Remove a client, with everything that anybody granted to it."""
    with here.db.transaction() as conn:
        require_admin(conn)
        client = _known(store.get_oauth_client(conn, path.client_id))
        end_grants_of_client(conn, client.id)
        store.delete_oauth_client(conn, client.id)
        audit.note(conn, "client.deleted", client.id)


@bp.post("/clients/<client_id>/regenerate_secret", status=200)
@user(scope=ADMIN_SCOPE)
def regenerate_secret(path: ClientPath) -> OAuthClientWithSecret:
    """Another secret, shown in this answer and nowhere else; the one before is refused from now on."""
    secret, secret_hash = clients.new_secret()
    with here.db.transaction() as conn:
        require_admin(conn)
        before = _known(store.get_oauth_client(conn, path.client_id))
        _require_third_party(before)
        client = store.update_oauth_secret(conn, before.id, secret_hash)
        if client is None:
            raise BadRequest("A public client has no secret.", code="validation_failed")
        audit.note(conn, "client.secret_set", client.id)
    return OAuthClientWithSecret.with_secret(client, secret)


def _known(client: clients.Client | None) -> clients.Client:
    if client is None:
        raise NotFound("OAuth client not found", code="oauth_client_not_found")
    return client


def _require_changeable(client: clients.Client, body: OAuthClientChange) -> None:
    _require_third_party(client)
    method = body.token_endpoint_auth_method or client.auth_method
    if (method == clients.NONE) != client.is_public:
        raise BadRequest("A client cannot become public, or cease to be: register another.", code="validation_failed")


def _require_third_party(client: clients.Client) -> None:
    """Whoever may change where a client of the house leads, or has its secret, gets people's sessions."""
    if client.is_first_party:
        raise BadRequest("Clients of the house are changed at the command line.", code="first_party_client")
