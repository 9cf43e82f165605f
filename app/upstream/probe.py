"""Free requests that check the relay, for `doctor` and readiness."""

from typing import Final

import anyio

from app.errors import GatewayError, UpstreamMisconfigured, UpstreamUnreachable
from app.upstream.classify import classify_refusal
from app.upstream.client import Answer, Broken, NotSent, RelayReader
from app.upstream.refusal import HEAD_BYTES
from app.upstream.skeleton import MalformedAnswer, Skeleton

PROBE_TIMEOUT_S: Final = 10.0
_LIST_BYTES_MAX: Final = 8 * 1024 * 1024


class NotARelay(UpstreamMisconfigured):
    """Answer that no relay gives, such as a page for browsers."""


async def models(upstream: RelayReader, timeout_s: float = PROBE_TIMEOUT_S) -> list[str]:
    """Return the sorted ids of the models that the relay offers to our key.

    Raises UpstreamUnreachable, or the error of the relay's refusal (UpstreamMisconfigured, UpstreamWalletEmpty and others). Each
    message names the next step.
    """
    try:
        with anyio.fail_after(timeout_s):
            answer = await upstream.get("/v1/models")
            try:
                body = await _read(answer)
            finally:
                await answer.close()
    except NotSent as exc:
        raise UpstreamUnreachable(f"The relay cannot be reached: {exc}. Check the network and the address.") from exc
    except (Broken, TimeoutError) as exc:
        why = str(exc) or f"no answer within {timeout_s:g} s"
        raise UpstreamUnreachable(f"The relay was reached but did not answer: {why}.") from exc
    return _ids(answer, body)


async def _read(answer: Answer) -> bytes:
    body = bytearray()
    async for chunk in answer.chunks():
        body += chunk
        if len(body) > _LIST_BYTES_MAX:
            raise Broken("its list of models has no end")
    return bytes(body)


def _ids(answer: Answer, body: bytes) -> list[str]:
    if answer.status != 200:
        raise _refusal(answer, body)
    skeleton = Skeleton()
    skeleton.feed(body)
    try:
        document = skeleton.document()
    except MalformedAnswer as exc:
        raise _not_a_relay() from exc
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        raise _not_a_relay()
    return sorted({item["id"] for item in data if isinstance(item, dict) and isinstance(item.get("id"), str)})


def _refusal(answer: Answer, body: bytes) -> GatewayError:
    verdict = classify_refusal(answer.status, answer.content_type, body[:HEAD_BYTES], answer.retry_after)
    if verdict.outcome == "released":
        return verdict.error
    if answer.status >= 500:
        return UpstreamUnreachable(f"The relay is out of order, or what stands before it: status {answer.status}.")
    return _not_a_relay()


def _not_a_relay() -> NotARelay:
    return NotARelay(
        "What answers there is no relay: check IMAGEGATE_UPSTREAM_BASE_URL, or the address of an added relay."
    )
