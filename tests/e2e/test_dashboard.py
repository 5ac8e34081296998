"""The overview dashboard, asked by a real Prometheus that scrapes a whole platform while the journey is played."""

from deploy.observability import scrape
from deploy.observability.check_dashboard import Prometheus
from tests.support.platform import Platform
from tests.support.waiting import eventually


def test_every_query_returns_numbers_after_the_journey(platform: Platform) -> None:
    settings = platform.settings
    broker = settings.address_of("rabbitmq-prometheus")
    with Prometheus(scrape.local_targets(settings), broker) as prometheus:
        played = platform.run("deploy.local.demo")
        assert played.returncode == 0, played.stdout + played.stderr

        def shows_everything() -> bool:
            empty = [answer.query for answer in prometheus.run() if not answer.has_numbers]
            assert not empty, empty
            assert not prometheus.down()
            return True

        eventually(shows_everything, timeout_s=15)
