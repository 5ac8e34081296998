"""The only door: verifies tokens, routes, streams. It holds no business rule and no database."""
