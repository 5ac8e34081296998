"""What operators see of the cache."""

from tests.gateway.cache.origin import Origin, get, hand_over_metrics
from tests.gateway.process import GatewayProcess
from tests.support.waiting import eventually


def test_what_came_of_requests_is_counted(gateway: GatewayProcess, origin: Origin) -> None:
    def counted() -> list[float]:
        outcomes = ("hit", "miss", "bypass")
        return [gateway.metric("gateway_cache_requests_total", route="/cached/*", outcome=each) for each in outcomes]

    hand_over_metrics(gateway)
    before = counted()
    for header in ({}, {}, {}, {"Cookie": "a=1"}):
        get(gateway, origin.path, **header)
    eventually(lambda: [now - then for now, then in zip(counted(), before, strict=True)] == [2, 1, 1])


def test_the_access_log_says_what_came_of_it(gateway: GatewayProcess, origin: Origin) -> None:
    said = {get(gateway, origin.path).headers["X-Request-Id"]: outcome for outcome in ("miss", "hit")}

    def logged() -> dict[str, str]:
        lines = [line for line in gateway.lines() if line.get("request_id") in said]
        return {line["request_id"]: line["cache"] for line in lines}

    eventually(lambda: logged() == said)


def test_a_call_for_an_answer_to_keep_is_counted_with_the_services_time(
    gateway: GatewayProcess, origin: Origin
) -> None:
    def calls() -> float:
        return gateway.metric("gateway_upstream_duration_seconds_count", upstream="data")

    hand_over_metrics(gateway)
    before = calls()
    for _ in range(3):
        get(gateway, origin.path)
    eventually(lambda: calls() == before + 1)
