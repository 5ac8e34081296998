"""The endpoints of administrators, by noun: those of supabase/auth, and what it lacks (README, "Administrators")."""

from services.auth.admin import audit, factors, impersonation, links, passkeys, roles, sessions, users

BLUEPRINTS = (users.bp, audit.bp, links.bp, sessions.bp, roles.bp, factors.bp, passkeys.bp, impersonation.bp)
