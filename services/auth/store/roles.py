"""Queries on roles. `admin` is what a token says in `role`; the others are beside it."""

# ruff: noqa: S608 — what the f-strings put in is COLUMNS, a constant

from uuid import UUID

from services.auth.rows import User
from services.auth.store.users import COLUMNS
from shared.postgres import Connection, fetch_one


def update_role_granted(conn: Connection, user_id: UUID, role: str) -> User | None:
    sql = f"""
        UPDATE users
        SET role = CASE WHEN %(role)s = 'admin' THEN 'admin' ELSE role END,
            roles = CASE WHEN %(role)s = 'admin' THEN roles ELSE array_append(roles, %(role)s) END, updated_at = now()
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "role": role})


def update_role_revoked(conn: Connection, user_id: UUID, role: str) -> User | None:
    sql = f"""
        UPDATE users
        SET role = CASE WHEN %(role)s = 'admin' THEN 'authenticated' ELSE role END,
            roles = array_remove(roles, %(role)s), updated_at = now()
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "role": role})
