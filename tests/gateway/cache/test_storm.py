"""Everything at once."""

import gzip
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gateway.cache.origin import H, get, status_of
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.people import Person


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_a_crowd_asks_everybody_gets_an_answer_to_his_own_question_and_none_from_before_a_write(
    gateway: GatewayProcess, upstream: Upstream, alice: Person, mallory: Person, seed: int
) -> None:
    """Reads by path, query, language, host, coding and person, and writes, all at random and side by side."""
    versions: dict[str, int] = {}
    paths = [f"/cached/storm-{seed}-{number}" for number in range(3)]
    lives = {"": "max-age=60", "a=1": "max-age=60, stale-if-error=60", "a=12": "max-age=0", "a=123&b": "private"}

    def answer(request: Received, stream: Stream) -> None:
        path, _, query = request.target.partition("?")
        if request.method == "POST":
            request.read_body()
            versions[path] = versions.get(path, 0) + 1
            stream.answer(str(versions[path]).encode())
            return
        says = [request.target, *(str(request.value(name)) for name in ("x-forwarded-host", "accept-language"))]
        body = "|".join([*says, str(request.value("authorization")), str(versions.get(path, 0)), "x" * 2_000])
        fields = f"Cache-Control: {lives[query]}\r\nVary: Accept-Language\r\nContent-Type: text/plain\r\n"
        stream.answer(body.encode(), fields=fields)

    for path in paths:
        upstream.on(path, answer)

    def act(number: int) -> None:
        chance = random.Random(1_000 * seed + number)
        with gateway.wire() as wire:
            for _ in range(40):
                path = chance.choice(paths)
                if chance.random() < 0.1:
                    made = int(wire.ask(f"POST {path} HTTP/1.1\r\n{H}Content-Length: 1\r\n\r\nx").body)
                    accepted[path] = max(made, accepted.get(path, 0))
                    continue
                target = path + chance.choice([f"?{query}" if query else "" for query in lives])
                host, language = chance.choice(["a.example", "b.example"]), chance.choice(["de", "en"])
                token = chance.choice([None, None, None, alice, mallory])
                coding = chance.choice(["identity", "gzip"])
                fields = f"Host: {host}\r\nAccept-Language: {language}\r\nAccept-Encoding: {coding}\r\n"
                signed = token.headers["Authorization"] if token else "None"
                fields += f"Authorization: {signed}\r\n" if token else ""
                least = accepted.get(path, 0)
                wire.send(f"GET {target} HTTP/1.1\r\n{fields}\r\n")
                found = wire.read()
                text = gzip.decompress(found.body) if found.headers["Content-Encoding"] else found.body
                *says, version, _ = text.decode().split("|")
                assert says == [target, host, language, signed]
                assert "hit" not in status_of(found) or token is None
                assert int(version) >= least
                seen.append(status_of(found))

    accepted: dict[str, int] = {}  # what writers have been told
    seen: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(act, number) for number in range(8)]:
            done.result()
    assert len(seen) > 200 and {"hit", "fwd"} <= {how[:3] for how in seen}
    for path in paths:  # the storm is over: nothing from before the last write is left
        target = f"{path}?a=1"
        text = get(gateway, target, Host="a.example", Accept_Language="de").body.decode()
        assert text.split("|")[4] == str(versions.get(path, 0))
