"""The providers of this process, made from its settings."""

from collections.abc import Iterator
from contextlib import contextmanager

from google.auth.exceptions import GoogleAuthError
from jwt import PyJWTError

from services.notify.config import NotifySettings
from services.notify.mail_settings import MailSettings
from services.notify.providers import Mail, NotConfigured, Provider, Push
from services.notify.providers.apns import Apns, ProviderToken
from services.notify.providers.fcm import Fcm, FcmApi
from services.notify.providers.library import HyperTransport, PyfcmTransport
from services.notify.providers.mail import Relay, Smtp
from services.notify.providers.transport import CurlTransport, Transport


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """End the process with the name of a setting whose file is there but is not what it should be."""
    try:
        yield
    except (ValueError, KeyError, PyJWTError, GoogleAuthError) as error:
        raise SystemExit(f"{name}: the file cannot be used ({type(error).__name__})") from error


def fcm(settings: NotifySettings) -> Provider[Push]:
    if settings.fcm_service_account_file is None:
        return NotConfigured("FCM_SERVICE_ACCOUNT_FILE")
    timeout_s = settings.send_timeout_s
    with _reading("FCM_SERVICE_ACCOUNT_FILE"):
        api = FcmApi(settings.fcm_service_account_file, settings.fcm_project_id, timeout_s=timeout_s)
    transport: Transport = CurlTransport(timeout_s=timeout_s)
    if settings.push_transport == "library":
        transport = PyfcmTransport(api, timeout_s=timeout_s)
    return Fcm(api, settings.fcm_base_url.rstrip("/"), transport)


def apns(settings: NotifySettings) -> Provider[Push]:
    if not (settings.apns_key_file and settings.apns_key_id and settings.apns_team_id):
        return NotConfigured("APNS_KEY_FILE")
    with _reading("APNS_KEY_FILE"):
        token = ProviderToken(settings.apns_key_file, settings.apns_key_id, settings.apns_team_id)
        token.header()
    transport: Transport = CurlTransport(timeout_s=settings.send_timeout_s, ca_file=settings.apns_ca_file)
    if settings.push_transport == "library":
        transport = HyperTransport(timeout_s=settings.send_timeout_s, ca_file=settings.apns_ca_file)
    urls = {environment: url.rstrip("/") for environment, url in settings.apns_urls.items()}
    return Apns(token, urls, transport, topic=settings.apns_topic)


def email(settings: NotifySettings) -> Provider[Mail]:
    return mailer(settings, timeout_s=settings.send_timeout_s)


def mailer(settings: MailSettings, *, timeout_s: float) -> Provider[Mail]:
    if not (settings.smtp_host and settings.smtp_from):
        return NotConfigured("SMTP_HOST")
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
    return Smtp(
        Relay(
            host=settings.smtp_host,
            port=settings.smtp_port,
            sender=settings.smtp_from,
            sender_name=settings.smtp_from_name,
            username=settings.smtp_username,
            password=password,
            is_starttls=settings.smtp_starttls,
            ca_file=settings.smtp_ca_file,
            timeout_s=timeout_s,
        )
    )
