"""From a message to its deliveries, one page of devices a transaction; a crash resumes at the page it broke off."""

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from services.notify import store
from services.notify.contracts import QUEUED, MessageAccepted
from services.notify.store import NewDelivery, Plan, Queued
from shared import outbox
from shared.ids import new_id
from shared.postgres import Connection

PAGE = 500
GROUP = {"fcm": 100, "apns": 100, "email": 10}  # deliveries in one message to a sender's queue
CHANNEL_OF = {"android": "fcm", "ios": "apns"}


def plan(conn: Connection, message_id: UUID, *, after: UUID | None, page: int = PAGE) -> None:
    """Insert the deliveries for one page of targets and queue them; if there are more, ask for the next page."""
    message = store.get_plan(conn, message_id)
    if message is None or message.planned_at is not None:
        return
    rows, last_device_id = [], None
    if "email" in message.channels and after is None:
        rows += _mails(conn, message)
    if "push" in message.channels:
        pushes = _pushes(conn, message, after, page)
        rows += pushes
        last_device_id = pushes[-1].device_id if len(pushes) == page else None
    queue(conn, store.insert_deliveries(conn, rows))
    if last_device_id:
        outbox.add(conn, MessageAccepted(message_id=message_id, after=last_device_id))
        return
    store.set_planned(conn, message_id)
    store.finish_messages(conn, [message_id])


def queue(conn: Connection, deliveries: Iterable[Queued]) -> None:
    """Tell the senders, in the caller's transaction."""
    by_channel = defaultdict(list)
    for delivery in deliveries:
        by_channel[delivery.channel].append(delivery.id)
    for channel, ids in by_channel.items():
        size = GROUP[channel]
        groups = [ids[start : start + size] for start in range(0, len(ids), size)]
        outbox.add(conn, *(QUEUED[channel](channel=channel, delivery_ids=group) for group in groups))


def _mails(conn: Connection, message: Plan) -> list[NewDelivery]:
    """One mail: to the address the message names, else to the one that is known to be the person's."""
    addresses = [message.email] if message.email else []
    if not addresses and message.user_id:
        addresses = list(store.list_confirmed_addresses(conn, message.user_id))
    if not addresses:
        _fail(conn, message, "email", "there is no confirmed address")
    return [NewDelivery(new_id(), message.id, "email", address) for address in addresses]


def _pushes(conn: Connection, message: Plan, after: UUID | None, page: int) -> list[NewDelivery]:
    devices = store.list_devices(conn, message.user_id, after=after, limit=page) if message.user_id else []
    if not devices and after is None:
        _fail(conn, message, "fcm", "there is no device")
    return [
        NewDelivery(new_id(), message.id, CHANNEL_OF[device.platform], str(device.id), device.id) for device in devices
    ]


def _fail(conn: Connection, message: Plan, channel: str, reason: str) -> None:
    row = NewDelivery(new_id(), message.id, channel, "")
    store.insert_failed_delivery(conn, row, outcome="no_target", reason=reason)
