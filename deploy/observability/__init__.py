"""What to watch: what Prometheus scrapes, when it wakes somebody, what the dashboard shows."""
