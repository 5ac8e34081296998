"""Logging in with accounts elsewhere: Apple, Google, and whoever speaks OpenID Connect.

`settings.py` (who) → `provider.py` (talking to one) → `id_tokens.py` (what one says of a person) → `accounts.py` (what
it does here). Ways in: `grants.py` (a token from the device) and `redirects.py` (through the browser).
"""
