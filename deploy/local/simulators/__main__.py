"""`python -m deploy.local.simulators`: all three ports until SIGTERM or Ctrl-C."""

import asyncio
import gc
import logging
import signal
import ssl
import sys

from deploy.local.simulators import http, http2, smtp
from deploy.local.simulators.apns import Apns
from deploy.local.simulators.arrivals import Arrivals
from deploy.local.simulators.config import Settings
from deploy.local.simulators.control import Control
from deploy.local.simulators.credentials import Credentials, prepare
from deploy.local.simulators.faults import Faults
from deploy.local.simulators.fcm import Fcm
from deploy.local.simulators.oauth import OAuth


async def serve(settings: Settings, credentials: Credentials) -> None:
    arrivals, faults = Arrivals(settings.keep_messages, settings.keep_bytes), Faults()
    oauth = OAuth(credentials, faults, settings.access_token_ttl_s)
    fcm = Fcm(credentials.project_id, oauth, arrivals, faults)
    apns = http2.Server(Apns(credentials, arrivals, faults).push, settings.apns_streams)
    mail = smtp.Server(arrivals, faults, tls_context(credentials))
    router = http.Router()
    router.add("POST", "/v1/projects/{project}/messages:send", fcm.send)
    router.add("POST", "/token", oauth.token)
    Control(arrivals, faults, apns, settings.host, settings.networks).add_routes(router)
    web = http.Server(router)

    listen = settings.listen or settings.host
    await apns.start(listen, settings.apns_port, tls_context(credentials, alpn="h2"))
    await mail.start(listen, settings.smtp_port)
    await web.start(listen, settings.port)  # last: who sees /healthz answer may use all three
    print(
        f"web, FCM and OAuth {credentials.web_url}; APNs {settings.host}:{settings.apns_port}; "
        f"SMTP {settings.host}:{settings.smtp_port}; files in {settings.folder}",
        flush=True,
    )
    gc.freeze()
    await _until_signalled()
    await asyncio.gather(web.stop(), mail.stop(), apns.stop())


def tls_context(credentials: Credentials, alpn: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(credentials.certificate_file, credentials.certificate_key_file)
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


async def _until_signalled() -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await stopping.wait()


def main() -> None:
    settings = Settings.load()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        credentials = prepare(
            settings.folder, settings.ports, host=settings.host, project_id=settings.project_id, topic=settings.topic
        )
    except OSError as error:
        print(f"cannot write into {settings.folder}: {error.strerror or error}", file=sys.stderr)
        raise SystemExit(1) from None
    try:
        asyncio.run(serve(settings, credentials))
    except OSError as error:
        print(f"cannot listen on {settings.listen or settings.host}: {error.strerror or error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
