"""Relay application: key check, image calls, bill. `answers` and `errors` make the bodies."""

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Iterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from . import accounting
from .answers import CONSOLE_PAGE, Drawing, answered_size, encode, faulty_body, image_count, success
from .body import RequestBody, read_body, seen_request
from .catalog import charge_points
from .errors import ERRORS, ErrorRow, SandboxError, error_body, provider, unknown_url
from .events import events
from .headers import FROM_A_PROXY, RelayHeaders, provider_headers, request_id
from .hints import Script
from .orders import ImageOrder, read_order, read_script
from .picture import PlaceholderContent, draw, with_c2pa_chunk
from .records import BillLine, Operation, SandboxOptions, SeenRequest
from .reply import Reply, pause

SEEN_MAX = 10_000
FILES_KEPT_MAX = 500
JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
API_PREFIXES = ("/v1/", "/api/", "/dashboard/")
NOTED = "sandbox.noted"


class Sandbox:
    """Relay: ASGI application, bill and record of requests. Whoever sets `closing` sets `hurry`, too."""

    def __init__(self, options: SandboxOptions):
        self.options = options
        self.bill: list[BillLine] = []
        self.seen: list[SeenRequest] = []
        self.drawn_sha256: deque[str] = deque(maxlen=SEEN_MAX)
        """Digests of the pictures of all answers, in order."""
        self.fault = ""
        """Hint that is added to every prompt, such as `error=wallet`, so that this relay alone fails."""
        self.closing = asyncio.Event()
        self.hurry = asyncio.Event()
        """While it is set, answers are neither delayed nor dripped; those under way are sent."""
        self._files: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self.app = Starlette(
            routes=list(self._routes()),
            middleware=[Middleware(RelayHeaders, profile=options.profile)],
            exception_handlers={404: self._unknown_path, 405: self._unknown_path, SandboxError: self._refuse},
        )

    def _routes(self) -> Iterator[Route]:
        yield Route("/v1/images/generations", self._generations, methods=["POST"])
        yield Route("/v1/images/edits", self._edits, methods=["POST"])
        yield Route("/v1/images/variations", self._variations, methods=["POST"])
        yield Route("/sandbox/files/{name}", self._file, methods=["GET"])
        for path, handler in accounting.ENDPOINTS[self.options.profile].items():
            yield Route(path, accounting.bound(self, handler), methods=["GET"])

    async def _generations(self, request: Request) -> Response:
        return await self._image(request, "generation")

    async def _edits(self, request: Request) -> Response:
        return await self._image(request, "edit")

    async def _variations(self, request: Request) -> Response:
        return await self._image(request, "variation")

    async def _image(self, request: Request, operation: Operation) -> Response:
        self.check_key(request.headers.get("authorization", ""))
        body = await read_body(request)
        self.note(request, body)
        if self.fault:
            body.fields["prompt"] = f"{body.fields.get('prompt', '')} [[sandbox {self.fault}]]"
        _, script = read_script(body)
        row = self._scripted_error(script)
        if row is not None:
            return await self._fail(request, operation, body, script, row)
        order = read_order(operation, body, self.options.profile)
        return await self._charge_and_answer(request, order)

    async def _charge_and_answer(self, request: Request, order: ImageOrder) -> Response:
        """Charge, then draw and answer: no byte is sent that is not on the bill, and a client that leaves early still pays."""
        failed_200 = order.script.body == "error200" and self.options.profile == "N"
        if order.script.charged if order.script.charged is not None else not failed_200:
            self._charge(request, order, image_count(order))
        await pause(self.hurry, self._latency_s(order))
        pictures = await self._draw(request, order)
        created = int(time.time())
        headers = provider_headers(order.model.family) | {"Content-Type": JSON_TYPE}
        if order.stream:
            return self._stream(order, pictures, created, headers)
        if order.script.body == "html":
            headers["Content-Type"] = HTML_TYPE
        answer = faulty_body(success(order, pictures, created), order, pictures)
        return Reply(answer, self.hurry, headers=headers, script=order.script)

    def _latency_s(self, order: ImageOrder) -> float:
        if order.script.delay is not None:
            return order.script.delay
        return order.model.latency_s * self.options.latency_scale

    def _stream(self, order: ImageOrder, pictures: list[Drawing], created: int, headers: dict[str, str]) -> Response:
        headers |= {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        frames = events(order, pictures, created)
        pause_s = 0.3 * self.options.latency_scale
        return Reply(b"", self.hurry, headers=headers, script=order.script, events=frames, pause_s=pause_s)

    async def _draw(self, request: Request, order: ImageOrder) -> list[Drawing]:
        image_format = "jpeg" if order.model.family == "ark" else order.output_format or "png"
        count = image_count(order)
        cards = [
            PlaceholderContent(
                order.prompt, order.model.name, answered_size(order), image_format, index, count, order.operation
            )
            for index in range(count)
        ]
        contents = await asyncio.to_thread(lambda: [draw(card) for card in cards])
        if order.script.signed and image_format == "png":
            contents = [with_c2pa_chunk(content) for content in contents]
        self.drawn_sha256 += [hashlib.sha256(content).hexdigest() for content in contents]
        if order.model.family != "ark" and order.script.body not in ("url", "both", "mixed"):
            return [Drawing(content) for content in contents]
        return [Drawing(content, self._publish(request, content, image_format)) for content in contents]

    def _publish(self, request: Request, content: bytes, image_format: str) -> str:
        name = f"{secrets.token_hex(8)}.{image_format}"
        self._files[name] = content, f"image/{image_format}"
        while len(self._files) > FILES_KEPT_MAX:
            self._files.popitem(last=False)
        return f"{request.base_url}sandbox/files/{name}"

    async def _file(self, request: Request) -> Response:
        content, media_type = self._files.get(request.path_params["name"], (b"", ""))
        return Response(content, media_type=media_type) if content else Response("gone", 404)

    def _charge(self, request: Request, order: ImageOrder, images: int) -> None:
        points = charge_points(order.model, self.options.profile, n=order.n, images=images, size=order.size)
        at_ms = time.time_ns() // 1_000_000
        self.bill.append(
            BillLine(request_id(request), order.model.name, order.operation, order.n, points, at_ms, images)
        )

    def _scripted_error(self, script: Script) -> ErrorRow | None:
        if script.error is not None:
            if script.error not in ERRORS:
                known = ", ".join(sorted(ERRORS))
                raise SandboxError(provider(400, f"[[sandbox ...]]: error is one of {known}", "sandbox_hint"))
            return ERRORS[script.error][self.options.profile]
        if script.status is None:
            return None
        message = script.message or "A scripted error of the provider."
        type_ = script.type or "invalid_request_error"
        return provider(script.status, message, script.code, type_, script.param or "")

    async def _fail(
        self, request: Request, operation: Operation, body: RequestBody, script: Script, row: ErrorRow
    ) -> Response:
        """Answer with a scripted error; bill it first if it is one of the few that are billed."""
        if row.charged if script.charged is None else script.charged:
            self._charge(request, read_order(operation, body, self.options.profile), images=0)
        await pause(self.hurry, script.delay or 0)
        return self._refusal(request, row, {"model": str(body.fields.get("model") or "gpt-image-1")}, script)

    def _refusal(self, request: Request, row: ErrorRow, values: dict[str, str], script: Script) -> Response:
        headers = {"Content-Type": JSON_TYPE}
        if row.origin == "proxy":
            request.scope[FROM_A_PROXY] = True
            headers["Content-Type"] = HTML_TYPE
            if row.status > 504:
                headers["CF-Ray"] = "8f2c1a9e4b7d6f03-HKG"
        if 300 <= row.status < 400:
            headers["Location"] = script.location or "http://127.0.0.1:9/v1/images/generations"
        body = error_body(row, self.options.profile, request_id(request), values)
        return Reply(body, self.hurry, status=row.status, headers=headers, script=script)

    async def _refuse(self, request: Request, exc: Exception) -> Response:
        assert isinstance(exc, SandboxError)
        self.note(request)
        return self._refusal(request, exc.row, exc.values, Script())

    async def _unknown_path(self, request: Request, _exc: Exception) -> Response:
        """Answer an unknown path: JSON under the API's prefixes, the relay's console page elsewhere."""
        self.note(request)
        if not request.url.path.startswith(API_PREFIXES):
            return HTMLResponse(CONSOLE_PAGE)
        return Response(encode(unknown_url(request.method, request.url.path)), 404, {"Content-Type": JSON_TYPE})

    def check_key(self, given: str) -> None:
        """Check the key. `Bearer ` and `sk-` are optional; a suffix after a dash would choose a channel. Raises SandboxError."""
        key = given.removeprefix("Bearer ").removeprefix("bearer ").strip().removeprefix("sk-")
        own = self.options.key.removeprefix("sk-")
        if key == own:
            return
        if not key:
            raise SandboxError(ERRORS["no_key"][self.options.profile])
        name = "channel_choice" if key.startswith(f"{own}-") else "unauthorized"
        raise SandboxError(ERRORS[name][self.options.profile])

    def note(self, request: Request, body: RequestBody | None = None) -> None:
        """Record a request in `seen`, once; the oldest are dropped above SEEN_MAX."""
        if NOTED in request.scope:
            return
        request.scope[NOTED] = True
        self.seen.append(seen_request(request, request_id(request), body))
        if len(self.seen) > SEEN_MAX:
            del self.seen[0]
