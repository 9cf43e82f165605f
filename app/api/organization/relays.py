"""/organization/relays: the relays that images are bought from (an extension)."""

from collections.abc import Sequence

from fastapi import APIRouter

from app.administration import Administration
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import Body
from app.api.schemas.base import DeletedOut, ListOut
from app.api.schemas.relays import RelayCreate, RelayKeyReplace, RelayOut, RelayUpdate, relay_answers
from app.control import relays
from app.core.relays import Relay

router = APIRouter(prefix="/relays", tags=["Relays (extension)"])


@router.get("")
async def list_relays(caller: Admin, include_removed: bool = False) -> ListOut[RelayOut]:
    """List relays by creation, with the state of their breakers in the process that answers."""
    found = await relays.list_relays(caller.database, include_removed=include_removed)
    return ListOut[RelayOut].of(_answers(caller.gateway, found))


@router.post("")
async def create_relay(caller: AdminWriter, body: Body[RelayCreate]) -> RelayOut:
    """Create a relay, which gets requests from now on. Its key is stored encrypted, and no answer shows it."""
    relay = await relays.create_relay(caller.database, caller.pepper, body.name, body.change())
    return _answer(caller.gateway, relay)


@router.get("/{relay}")
async def retrieve_relay(caller: Admin, relay: str) -> RelayOut:
    """Retrieve a relay by its name, a removed one too."""
    return _answer(caller.gateway, await caller.database.ask(relays.get_relay, relay))


@router.post("/{relay}")
async def modify_relay(caller: AdminWriter, relay: str, body: Body[RelayUpdate]) -> RelayOut:
    """Change a relay from the next request on. The address and the key of `default` are in the settings: changing them is a 409."""
    pepper = None if body.key is None else caller.pepper
    return _answer(caller.gateway, await relays.change_relay(caller.database, pepper, relay, body.change()))


@router.post("/{relay}/key")
async def replace_relay_key(caller: AdminWriter, relay: str, body: Body[RelayKeyReplace]) -> RelayOut:
    """Replace the key of a relay, for the next request on and without a restart. That closes its breaker."""
    return _answer(caller.gateway, await relays.replace_key(caller.database, caller.pepper, relay, body.key))


@router.delete("/{relay}")
async def delete_relay(caller: AdminWriter, relay: str) -> DeletedOut:
    """Remove a relay for good; requests that it has end as usual. The book keeps its name, and its key until none of its requests
    is open. A 409 for `default`."""
    await relays.remove_relay(caller.database, relay)
    return DeletedOut.of("relay", relay)


def _answer(gateway: Administration, relay: Relay) -> RelayOut:
    return _answers(gateway, [relay])[0]


def _answers(gateway: Administration, found: Sequence[Relay]) -> list[RelayOut]:
    return relay_answers(found, gateway.relays, has_default_key=gateway.settings.upstream_api_key is not None)
