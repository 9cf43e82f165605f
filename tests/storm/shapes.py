"""The shapes in which a call fails between a stock client and its picture, and the calls that are sent through each of them.

Times are in units: one for a proxy that cuts after 5 s is a second.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from tests.storm.hops import Passage, Play

Shape = Literal[
    "reset before head", "reset after head", "client timeout", "500", "502 HTML", "429", "truncated 200", "slow drip"
]
Place = Literal["client", "relay"]
"""On which side of the gateway it happens; without a gateway the two are the same."""
Sdk = Literal["python", "node"]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
PLACES: Final[tuple[Place, ...]] = get_args(Place)

CUT_UNITS = 5.0
SHORT_UNITS = (0.1, 0.1, 1.5)
LONG_UNITS = (0.1, 7.0, 14.0, 25.0)
"""How long a picture takes behind a proxy that cuts: no try cut, the first, the first two, all three."""
PATIENT_UNITS = 40.0
EARLY_UNITS = 0.2
PIECES = 12
DRIP_UNITS = 6.0
TRIES = 3
"""How often a stock SDK asks, at most."""

_PAGE = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
_ERROR = b'{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}'
_BUSY = b'{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}'


@dataclass(frozen=True, slots=True)
class Job:
    """One logical call of a client: its first `faulty` arrivals fail in this shape at this place, the next pass.

    `cut`: the client sits behind the proxy. `odd`: the other variant of its shape. `delay_units`: how long the picture takes.
    """

    marker: str
    sdk: Sdk
    shape: Shape
    place: Place
    cut: bool
    odd: bool
    faulty: int
    delay_units: float
    unit_s: float

    @property
    def timeout_s(self) -> float:
        """Timeout of the client."""
        if self.shape == "client timeout":
            return (8.0 if self.cut and self.odd else 2.0) * self.unit_s
        if self.shape == "slow drip" and not self.cut:
            return 4.0 * self.unit_s
        return PATIENT_UNITS * self.unit_s

    @property
    def prompt(self) -> str:
        return f"a cat in a {self.marker} of roses [[sandbox delay={self.delay_units * self.unit_s:.3f}]]"


def make_jobs(shape: Shape, count: int, sdks: tuple[Sdk, ...], cut_s: float) -> list[Job]:
    """`count` calls of each SDK, shared out evenly over both places, with and without the proxy; in the order of their start.

    The same for the same arguments.
    """
    rows = [(sdk, place, cut) for place in PLACES for cut in (False, True) for sdk in sdks]
    numbers = range(-(-count * len(sdks) // len(rows)))
    return [_job(shape, sdk, place, cut, number, cut_s / CUT_UNITS) for number in numbers for sdk, place, cut in rows]


def _job(shape: Shape, sdk: Sdk, place: Place, cut: bool, number: int, unit_s: float) -> Job:
    name = shape.lower().replace(" ", "-")
    marker = f"storm-{name}-{place}-{'cut' if cut else 'direct'}-{sdk}-{number}"
    chance = random.Random(marker)
    return Job(
        marker=marker,
        sdk=sdk,
        shape=shape,
        place=place,
        cut=cut,
        odd=chance.random() < 0.5,
        faulty=number % TRIES + 1,
        delay_units=chance.choice(LONG_UNITS if cut else SHORT_UNITS),
        unit_s=unit_s,
    )


# --- what a hop does --------------------------------------------------------------------------------------------------


def faults(jobs: dict[str, Job], places: tuple[Place, ...]) -> Play:
    """Breaks what is to be broken at these places, and passes on everything else."""

    async def play(passage: Passage) -> None:
        job = jobs.get(passage.marker)
        if job is None or job.place not in places or passage.arrival > job.faulty:
            await passage.pass_on()
        else:
            await _FAULTS[job.shape](passage, job)

    return play


def cutter(cut_s: float) -> Play:
    """A proxy without patience: after so long it hangs up on both sides. Half of the calls that have got nothing yet get a 504."""

    async def play(passage: Passage) -> None:
        try:
            async with asyncio.timeout(cut_s):
                await passage.pass_on()
        except TimeoutError:
            passage.leave()
            if not passage.sent and passage.marker[-1] in "02468":
                await _answer(passage, "504 Gateway Time-out", _PAGE, "text/html")
            else:
                passage.reset()

    return play


async def _reset_before_head(passage: Passage, job: Job) -> None:
    """Reset while the answer is being made, or once it is there."""
    reader = await passage.forward()
    if job.odd:
        await asyncio.sleep(EARLY_UNITS * job.unit_s)
    else:
        await reader.read(1)
    passage.reset()


async def _reset_after_head(passage: Passage, job: Job) -> None:
    head, body = await passage.exchange()
    await passage.send(head + body[: len(body) // 2 if job.odd else 0])
    await asyncio.sleep(0.05)  # Else the reset would overtake what was sent.
    passage.reset()


async def _client_timeout(passage: Passage, job: Job) -> None:
    """The answer is there, and is held back for longer than the client waits."""
    head, body = await passage.exchange()
    await asyncio.sleep(job.timeout_s * 1.5)
    await passage.send(head + body)


async def _error_500(passage: Passage, job: Job) -> None:
    await passage.exchange()
    await _answer(passage, "500 Internal Server Error", _ERROR, "application/json")


async def _page_502(passage: Passage, job: Job) -> None:
    """A proxy that lost the answer: while it is made, or once it is there."""
    reader = await passage.forward()
    await (asyncio.sleep(EARLY_UNITS * job.unit_s) if job.odd else reader.read())
    await _answer(passage, "502 Bad Gateway", _PAGE, "text/html")


async def _busy_429(passage: Passage, job: Job) -> None:
    """Answer 429; pass nothing on."""
    await _answer(passage, "429 Too Many Requests", _BUSY, "application/json", "Retry-After: 1\r\n" if job.odd else "")


async def _truncated(passage: Passage, job: Job) -> None:
    """Ends too soon: less than was promised, or a whole message that holds half a document."""
    head, body = await passage.exchange()
    half = body[: len(body) // 2]
    if job.odd:
        head = re.sub(rb"(?im)^content-length: *\d+", b"Content-Length: %d" % len(half), head)
    await passage.send(head + half)


async def _drip(passage: Passage, job: Job) -> None:
    """The head in small pieces, or the body."""
    head, body = await passage.exchange()
    for part, slow in ((head, job.odd), (body, not job.odd)):
        step = -(-len(part) // PIECES) if slow else len(part)
        for at in range(0, len(part), step):
            await passage.send(part[at : at + step])
            await asyncio.sleep(DRIP_UNITS / PIECES * job.unit_s if slow else 0)


async def _answer(passage: Passage, status: str, body: bytes, content_type: str, headers: str = "") -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{headers}"
    await passage.send(head.encode() + b"Connection: close\r\n\r\n" + body)


_FAULTS: dict[Shape, Callable[[Passage, Job], Awaitable[None]]] = {
    "reset before head": _reset_before_head,
    "reset after head": _reset_after_head,
    "client timeout": _client_timeout,
    "500": _error_500,
    "502 HTML": _page_502,
    "429": _busy_429,
    "truncated 200": _truncated,
    "slow drip": _drip,
}
