"""A gateway that is about to leave: whoever comes to it is told so in a way that leads to another one."""

from tests.faults.conftest import StartGateway
from tests.money.books import ask, opened


async def test_a_client_on_a_kept_connection_is_not_turned_away_twice_by_the_same_gateway(
    gateways: StartGateway,
) -> None:
    """The SDKs try again on the connection they have: they would spend every try on the gateway that leaves."""
    running = await gateways()
    async with opened(running.url, (await running.key()).key) as client:
        before = await ask(client)
        running.gateway.image_service.draining = True
        late = await ask(client)

    assert before.status_code == 200
    assert "connection" not in before.headers
    assert (late.status_code, late.json()["error"]["code"]) == (503, "draining")
    assert late.headers["connection"] == "close"
    assert "x-should-retry" not in late.headers
    assert 1 <= int(late.headers["retry-after"]) <= 60
