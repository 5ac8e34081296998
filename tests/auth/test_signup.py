from tests.auth.conftest import Person, Service


def test_the_journey(service: Service) -> None:
    alice = service.person("alice")
    reply = alice.sign_up(data={"name": "Alice"})
    assert reply.status == 200, reply
    print(reply.json)
    print(alice.log_in())
    print(alice.confirm())
    print(alice.log_in().json)
    r = alice.refresh()
    print(r)
    print(alice.get("/user"))
    print(alice.get("/sessions"))
    print(service.call("POST", "/logout", headers=alice.headers))
    for e in service.events():
        print(e)
    print(service.get("/.well-known/jwks.json"))
