"""Queries on sealed columns, for sealing them again. The names come from `resealing.SEALED`, never from input."""

from dataclasses import dataclass, field

from psycopg2 import sql

from services.auth.sealing import KEY_ID_BYTES
from shared.postgres import Connection, execute, fetch_all


@dataclass(frozen=True)
class SealedColumn:
    """A column with sealed bytes; `key` is the primary key of its table."""

    table: str
    key: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"

    @property
    def names(self) -> dict[str, sql.Composable]:
        return {
            "table": sql.Identifier(self.table),
            "key": sql.Identifier(self.key),
            "column": sql.Identifier(self.column),
        }


@dataclass(frozen=True)
class SealedValue:
    key: str
    sealed: bytes = field(repr=False)


def list_stale_sealed(
    conn: Connection, column: SealedColumn, current_key_id: bytes, *, after: str | None, limit: int
) -> list[SealedValue]:
    """Values sealed with another key than the current one, in the order of their rows' keys."""
    where = "AND {key} > %(after)s" if after is not None else ""  # the key's type is the column's: text or uuid
    query = sql.SQL(f"""
        SELECT {{key}}::text AS key, {{column}} AS sealed FROM {{table}}
        WHERE substring({{column}} FROM 1 FOR {KEY_ID_BYTES}) <> %(current)s {where}
        ORDER BY {{key}} LIMIT %(limit)s
    """).format(**column.names)  # noqa: S608 — two constants
    params = {"current": current_key_id, "after": after, "limit": limit}
    return fetch_all(conn, SealedValue, query.as_string(conn), params)


def update_sealed(conn: Connection, column: SealedColumn, value: SealedValue, sealed: bytes) -> int:
    """Replace the value unless somebody else has changed it since it was read; 1 or 0."""
    query = sql.SQL("UPDATE {table} SET {column} = %(sealed)s WHERE {key} = %(key)s AND {column} = %(old)s")
    params = {"sealed": sealed, "key": value.key, "old": value.sealed}
    return execute(conn, query.format(**column.names).as_string(conn), params)
