"""Events that notify sends to itself: they wake the planner and the senders, and say nothing to other services."""

from typing import Literal
from uuid import UUID

from shared.contracts import Event

Channel = Literal["fcm", "apns", "email"]


class MessageAccepted(Event):
    """A message is durable; its devices after the id `after` are still to be planned."""

    type = "message.accepted"
    source = "notify"
    subject = "message_id"

    message_id: UUID
    after: UUID | None = None


class DeliveriesQueued(Event):
    """Deliveries of one channel wait for a sender."""

    source = "notify"
    subject = "channel"

    channel: Channel
    delivery_ids: list[UUID]


class FcmQueued(DeliveriesQueued):
    type = "delivery.queued_fcm"


class ApnsQueued(DeliveriesQueued):
    type = "delivery.queued_apns"


class EmailQueued(DeliveriesQueued):
    type = "delivery.queued_email"


# Each channel has a queue of its own: a slow one holds up no other.
QUEUED: dict[str, type[DeliveriesQueued]] = {"fcm": FcmQueued, "apns": ApnsQueued, "email": EmailQueued}
