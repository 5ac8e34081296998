"""The OAuth 2.1 and OpenID Connect provider under `/auth/oauth`, on Authlib.

Read in this order: `settings.py` `redirects.py` `clients.py` (who may ask) · `provider.py` (Authlib's server, and the
form of its errors) `code_grant.py` `refresh_grant.py` `service_grant.py` (the ways to a token) `issuing.py` (tokens)
`inspection.py` (what a token is worth) `endings.py` `models.py` `routes.py` `metadata.py` · `authorize.py`
`requests.py` `consents.py` `end_session.py` (what people see) · `client_models.py` `client_admin.py` `commands.py`
(who registers clients).
"""
