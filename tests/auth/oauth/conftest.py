"""One service for a whole file, and people with a browser there: what a test changes is its own."""

from collections.abc import Callable, Iterator

import pytest

from services.auth.app import create_app
from tests.auth.browsers import Tab
from tests.auth.conftest import Person, Service, settings_on
from tests.auth.oauth.apps import App, browser_of, register
from tests.support.databases import Databases


@pytest.fixture(scope="module")
def service(databases: Databases) -> Iterator[Service]:
    url = databases.fresh("auth")
    made = Service(create_app(settings_on(url)), databases.owners_url(url))
    yield made
    made.db.close()
    databases.drop(url)


@pytest.fixture(scope="module")
def alice(service: Service) -> Person:
    return service.member("alice")


@pytest.fixture(scope="module")
def mallory(service: Service) -> Person:
    return service.member("mallory")


@pytest.fixture(scope="module")
def root(service: Service) -> Person:
    return service.administrator("root")


@pytest.fixture(scope="module")
def tab(alice: Person) -> Tab:
    """The browser that alice is logged in with."""
    return browser_of(alice)


@pytest.fixture
def app(service: Service) -> App:
    """A public app of a third party."""
    return register(service)


@pytest.fixture
def website(service: Service) -> App:
    """A third party's server, which keeps a secret."""
    return register(service, secret="the secret of the website")


@pytest.fixture
def own_app(service: Service) -> App:
    """An app of the house."""
    return register(service, is_first_party=True)


@pytest.fixture
def newcomer(service: Service) -> Callable[[str], Person]:
    """Somebody of the test's own, whom it may change or delete."""
    return service.member
