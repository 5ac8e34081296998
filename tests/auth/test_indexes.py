"""Every statement of the store finds its rows by an index: the planner, told to read no whole table, need not."""

import inspect
import types
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import cursor as PlainCursor

import shared.postgres
from services.auth import resealing, store
from services.auth.devices import Device
from services.auth.store.sealed import SealedValue
from shared.errors import Problem
from shared.ids import new_id
from tests.auth.conftest import Service

# Tables that stay small whatever happens: a handful of keys.
SMALL = {"signing_keys"}
# Tables with a row for each person here, in which the planner chooses as it would in earnest.
FILLED = {"users", "sessions", "identities"}
plans: list[tuple[str, dict[str, Any]]] = []


class Explaining(PlainCursor):
    """Asks for the plan of every statement before it runs it."""

    def execute(self, query: Any, params: Any = None) -> None:
        if str(query).split(None, 1)[0].upper() in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}:
            super().execute(f"EXPLAIN (FORMAT JSON) {query}", params)
            (row,) = self.fetchall()
            plans.append((str(query), row[0][0]["Plan"]))
        super().execute(query, params)


@pytest.fixture
def planned(service: Service, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> Iterator[Any]:
    """A connection to a database with many people that explains what it does; nothing of it stays."""
    service.rows(
        """
        INSERT INTO users (id, email, password_hash, is_anonymous)
        SELECT gen_random_uuid(), 'person' || n || '@example.com', '', n %% 2 = 0 FROM generate_series(1, %(n)s) AS n
        """,
        n=pytestconfig.getoption("people"),
    )
    service.rows(
        """
        INSERT INTO sessions (id, user_id, amr, device_name, user_agent)
        SELECT gen_random_uuid(), id, '[]', '', '' FROM users
        """
    )
    service.rows(
        """
        INSERT INTO identities (id, user_id, provider, provider_id, email)
        SELECT gen_random_uuid(), id, 'google', id::text, email FROM users
        """
    )
    # What other tests left and autovacuum counted must not make a table look as if it were always tiny.
    service.as_owner("SELECT pg_clear_relation_stats('public', tablename) FROM pg_tables WHERE schemaname = 'public'")
    service.as_owner("ANALYZE users, sessions, identities")
    monkeypatch.setattr(shared.postgres, "PlainCursor", Explaining)
    plans.clear()
    conn = psycopg2.connect(service.parts.settings.database_url.get_secret_value(), cursor_factory=Explaining)
    yield conn
    conn.rollback()
    conn.close()


def _sample(hint: Any, name: str) -> Any:
    """Some value of this type; what it is does not matter for a plan."""
    if get_origin(hint) in (types.UnionType, Union):
        return _sample(next(part for part in get_args(hint) if part is not type(None)), name)
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    if get_origin(hint) is dict or hint is dict:
        return {}
    if get_origin(hint) is tuple and Ellipsis not in get_args(hint):
        return tuple(_sample(part, name) for part in get_args(hint))
    if get_origin(hint) is not None:
        return [_sample(get_args(hint)[0], name)] if get_args(hint)[0] is not Any else []
    samples: dict[Any, Any] = {
        UUID: new_id(),
        str: "aal2" if name == "aal" else "text",
        bytes: b"bytes",
        int: 7_776_000 if name.endswith("_s") else 7,  # a bound in time that few rows are past
        float: 7.0,
        bool: True,
        datetime: datetime.now(UTC),
        Any: "anything",
        Device: Device("Phone", "", None),
        store.SealedColumn: resealing.SEALED[0],
        SealedValue: SealedValue("key", b"sealed"),
    }
    if hint not in samples and is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{one.name: _sample(hints[one.name], one.name) for one in fields(hint)})  # type: ignore[operator]
    return samples[hint]


FUNCTIONS = [
    name
    for name in store.__all__
    if inspect.isfunction(getattr(store, name)) and "conn" in inspect.signature(getattr(store, name)).parameters
]


def _call(conn: Any, name: str) -> None:
    function = getattr(store, name)
    hints = get_type_hints(function)
    parameters = [one for one in inspect.signature(function).parameters.values() if one.name != "conn"]
    by_name = {one.name: _sample(hints[one.name], one.name) for one in parameters if one.kind is one.KEYWORD_ONLY}
    others = [_sample(hints[one.name], one.name) for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    with conn.cursor(cursor_factory=PlainCursor) as cursor:
        cursor.execute("SAVEPOINT before")
        with suppress(psycopg2.Error, AssertionError, AttributeError, Problem):  # invented values need not fit together
            function(conn, *others, **by_name)
        cursor.execute("ROLLBACK TO before")


def _reads_all(plan: dict[str, Any], is_limited: bool = False) -> Iterator[tuple[str, str]]:
    """Tables that are read whole, or by a whole index without an end, and how."""
    is_limited = is_limited or plan["Node Type"] == "Limit"
    table = plan.get("Relation Name")
    if table is not None and table not in SMALL:
        if plan["Node Type"] == "Seq Scan":
            yield table, "reads all of it"
        if plan["Node Type"] in ("Index Scan", "Index Only Scan") and "Index Cond" not in plan and not is_limited:
            yield table, "reads all of an index"
    for part in plan.get("Plans", ()):
        yield from _reads_all(part, is_limited)


def _explain_all(conn: Any) -> dict[str, set[str]]:
    """What reads a whole table, by table."""
    plans.clear()
    for name in FUNCTIONS:
        _call(conn, name)
    wrong: dict[str, set[str]] = {}
    for query, plan in plans:
        for table, how in _reads_all(plan):
            wrong.setdefault(table, set()).add(f"{how}: {' '.join(query.split())[:200]}")
    assert len(plans) > len(FUNCTIONS) * 0.8, "most functions came as far as their statement"
    return wrong


def test_no_statement_of_the_store_reads_a_whole_table(planned: Any) -> None:
    """With `--people 1000000` (`make test-big`) on a table of a million; other tables are empty, so the planner, which
    would read those whole, is told not to wherever it need not."""
    by_its_own_choice = _explain_all(planned)
    assert {table: by_its_own_choice[table] for table in FILLED & by_its_own_choice.keys()} == {}
    with planned.cursor(cursor_factory=PlainCursor) as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert _explain_all(planned) == {}


def test_a_statement_without_an_index_would_be_noticed(planned: Any) -> None:
    with planned.cursor() as cursor:
        cursor.execute("SELECT 1 FROM users WHERE password_hash = 'x'")
    assert list(_reads_all(plans[-1][1])) == [("users", "reads all of it")]
