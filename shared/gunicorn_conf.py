"""gunicorn's settings for every service: `gunicorn -c shared/gunicorn_conf.py "services.auth.app:create_app()"`."""

import os
import shutil
import tempfile

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_WORKERS", "1"))
threads = int(os.environ.get("WEB_THREADS", "8"))
worker_class = "shared.web_worker.Worker"
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 — a heartbeat on disk can stall
keepalive = 75  # longer than the gateway keeps an idle connection, so that the gateway is the one that closes
graceful_timeout = 25
timeout = 60
max_requests_jitter = 0
accesslog = None  # shared.app writes the access log
errorlog = "-"
loglevel = "warning"
control_socket_disable = True
forwarded_allow_ips = ""
# What is too long is refused by the gateway, as a problem document; gunicorn would answer in HTML.
limit_request_line = 0
limit_request_field_size = 0

_made_folder = None
if workers > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    # Before anything imports prometheus_client, this file included: it chooses its storage when it is imported.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _made_folder = tempfile.mkdtemp(prefix="gatehouse-metrics-")


def child_exit(server: object, worker: object) -> None:
    """Forget the live gauges of a worker that ended."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[attr-defined]


def on_exit(server: object) -> None:
    """Remove the metrics' folder, if it was made here."""
    if _made_folder:
        shutil.rmtree(_made_folder, ignore_errors=True)
