"""What notify counts, beside what every component counts."""

from prometheus_client import Counter, Gauge, Histogram

DELIVERIES = Counter("notify_deliveries", "Attempts to deliver, by what became of them", ["channel", "outcome"])
SENDING = Histogram(
    "notify_send_seconds",
    "A batch at its provider, from the first byte to the last answer",
    ["channel"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
LATENCY = Histogram(
    "notify_delivery_seconds",
    "From a delivery's planning until its provider accepted it",
    ["channel"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600, 3600),
)
QUEUE_AGE = Gauge(
    "notify_queue_age_seconds",
    "How long the delivery that is overdue most has been due",
    ["channel"],
    multiprocess_mode="max",
)
TEMPLATE_PROBLEMS = Gauge(
    "notify_template_problems",
    "What was wrong in the operator's folder of templates when this process started; the built-in ones stand there",
    multiprocess_mode="max",
)
TEMPLATE_FALLBACKS = Counter(
    "notify_template_fallbacks",
    "Messages written with a built-in template because the operator's failed",
    ["template"],
)
