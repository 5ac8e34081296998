"""What the handlers of one process share, made once by `app.py`: `with here.db.transaction() as conn: …`."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from flask import current_app
from werkzeug.local import LocalProxy

from services.auth.captcha import Captcha
from services.auth.config import AuthSettings, decode_keys
from services.auth.decoys import Decoys
from services.auth.external.provider import Provider
from services.auth.keys import KeyRing
from services.auth.passwords import Passwords
from services.auth.sealing import Sealer
from services.auth.webhooks import Webhooks, decode_secrets
from shared.postgres import Database


@dataclass(frozen=True)
class Parts:
    settings: AuthSettings
    db: Database
    sealer: Sealer
    keys: KeyRing
    passwords: Passwords
    decoys: Decoys
    webhooks: Webhooks
    captcha: Captcha | None
    providers: Mapping[str, Provider]

    @classmethod
    def of(cls, settings: AuthSettings) -> "Parts":
        """Nothing is opened yet."""
        db = Database(settings.database_url.get_secret_value(), size=settings.web_threads, application_name="auth")
        sealer = Sealer(decode_keys(settings.secret_keys))
        passwords = Passwords(settings.password_hashers, queue=settings.password_queue, wait_s=settings.password_wait_s)
        secrets = decode_secrets(settings.hook_secrets.get_secret_value())
        webhooks = Webhooks(secrets, timeout_s=settings.hook_timeout_s)
        seats = threading.BoundedSemaphore(max(1, settings.web_threads // 2))
        providers = {name: Provider(name, given, seats) for name, given in settings.identity_providers.items()}
        captcha = Captcha.of(settings, at_once=max(1, settings.web_threads * 3 // 4))
        return cls(
            settings, db, sealer, KeyRing(db, sealer), passwords, Decoys(db, sealer), webhooks, captcha, providers
        )


here = cast(Parts, LocalProxy(lambda: current_app.extensions["auth"]))
