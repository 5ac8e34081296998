"""Who may do what on the broker, in one place, and the RabbitMQ definitions made of it.

`python -m deploy.local.broker_permissions <folder of passwords>` prints the definitions for Compose and Kubernetes:
the folder holds one file for each user, named like the user, as a mounted secret does.
"""

import base64
import hashlib
import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VHOST = "gatehouse"
EVENTS = "gatehouse.events"
ADMIN = "admin"

# The event types a component may publish to the exchange, as topics. The gateway publishes none.
PUBLISHES: dict[str, list[str]] = {
    "gateway": [],
    "auth": ["user.*", "session.*", "export.*", "message.requested"],
    "profile": ["profile.*", "user.erased", "export.part_ready", "message.requested"],
    "data": ["data.*", "user.erased", "export.part_ready", "message.requested"],
    "notify": ["device.*", "user.erased", "export.part_ready", "message.*", "delivery.*"],
}

# The event types a component may bind its queues to. Messages carry one-time codes: only notify reads those.
FACTS = ["user.*", "session.*", "profile.*", "data.*", "device.*", "export.*"]
READS: dict[str, list[str]] = {
    "gateway": ["session.*"],
    "auth": FACTS,
    "profile": FACTS,
    "data": FACTS,
    "notify": [*FACTS, "message.*", "delivery.*"],
}

USERS = [ADMIN, *PUBLISHES]


def definitions(passwords: Mapping[str, str]) -> dict[str, Any]:
    """The document RabbitMQ loads at boot, with salted hashes. Raise KeyError if a user has no password."""
    components = list(PUBLISHES)
    return {
        "users": [
            {
                "name": user,
                "password_hash": password_hash(passwords[user]),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ["administrator"] if user == ADMIN else [],
                "limits": {},
            }
            for user in USERS
        ],
        "vhosts": [{"name": VHOST}],
        "permissions": [everything(ADMIN), *(permissions(component) for component in components)],
        "topic_permissions": [
            {
                "user": component,
                "vhost": VHOST,
                "exchange": EVENTS,
                "write": topics_regex(PUBLISHES[component]),
                "read": topics_regex(READS[component]),
            }
            for component in components
        ],
        "exchanges": [
            {
                "name": EVENTS,
                "vhost": VHOST,
                "type": "topic",
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
        ],
    }


def permissions(component: str) -> dict[str, str]:
    """All that bears the component's name, and the exchange of events: who may write what there is a matter of topics.

    Nobody may write to the default exchange, which reaches every queue by its name.
    """
    own_and_events = rf"^({component}\.|gatehouse\.events$)"
    return {
        "user": component,
        "vhost": VHOST,
        "configure": own_and_events,
        "write": own_and_events if PUBLISHES[component] else rf"^{component}\.",
        "read": own_and_events,
    }


def everything(user: str) -> dict[str, str]:
    return {"user": user, "vhost": VHOST, "configure": ".*", "write": ".*", "read": ".*"}


def topics_regex(topics: list[str]) -> str:
    r"""`["user.*", "message.requested"]` becomes `^(user\.[a-z_]+|message\.requested)$`; no topics match nothing."""
    if not topics:
        return "^$"
    patterns = (topic.replace(".", r"\.").replace(r"\.*", r"\.[a-z_]+") for topic in topics)
    return f"^({'|'.join(patterns)})$"


def password_hash(password: str) -> str:
    """RabbitMQ's own form: base64 of a 4-byte salt and sha256(salt + password)."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    json.dump(definitions({user: (folder / user).read_text().strip() for user in USERS}), sys.stdout, indent=2)
