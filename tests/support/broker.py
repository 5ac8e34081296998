"""A virtual host of its own for each test that needs the broker, with every component's user and permissions in it."""

import secrets
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from deploy.local import broker_permissions
from deploy.local.rabbitmq import RabbitMQ
from tests.support.waiting import eventually


class Broker:
    """`url("auth")` is auth's way in; `depth("notify.dead")` counts what waits."""

    def __init__(self, rabbitmq: RabbitMQ) -> None:
        self.rabbitmq = rabbitmq
        self.vhost = f"t{secrets.token_hex(4)}"
        self._session = requests.Session()
        # The management API may hang up on a kept connection just as it is used; all that is asked is idempotent.
        again = Retry(total=3, backoff_factor=0.1, allowed_methods=None)
        self._session.mount("http://", HTTPAdapter(max_retries=again))
        self._session.auth = (broker_permissions.ADMIN, rabbitmq.passwords[broker_permissions.ADMIN])
        self._api("PUT", f"vhosts/{self.vhost}")
        document = broker_permissions.definitions(rabbitmq.passwords)
        for permission in document["permissions"]:
            self._api("PUT", f"permissions/{self.vhost}/{permission['user']}", permission)
        for permission in document["topic_permissions"]:
            self._api("PUT", f"topic-permissions/{self.vhost}/{permission['user']}", permission)

    def url(self, user: str = broker_permissions.ADMIN) -> str:
        return self.rabbitmq.url(user, self.vhost)

    def depth(self, queue: str) -> int:
        """Messages in the queue, ready and unacknowledged, as the management API last counted them."""
        answer = self._session.get(f"{self.rabbitmq.management_url}/api/queues/{self.vhost}/{quote(queue, safe='')}")
        return int(answer.json().get("messages", 0)) if answer.ok else 0

    def close_connections(self, user: str) -> None:
        """End every connection of a user in this virtual host, as a broker does that goes down."""

        def open_connections() -> list[str]:
            rows = self._session.get(f"{self.rabbitmq.management_url}/api/vhosts/{self.vhost}/connections").json()
            return [row["name"] for row in rows if row.get("user") == user]

        for name in eventually(open_connections, what=f"a connection of {user}"):
            self._api("DELETE", f"connections/{quote(name, safe='')}")

    def remove(self) -> None:
        self._api("DELETE", f"vhosts/{self.vhost}")
        self._session.close()

    def _api(self, method: str, path: str, body: Any = None) -> None:
        url = f"{self.rabbitmq.management_url}/api/{path}"
        self._session.request(method, url, json=body or {}, timeout=10).raise_for_status()
