"""Admission of a request: cheap checks come first, the reservation, which writes, comes last and decides."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.chores import BackgroundTasks
from app.core import keys
from app.core.catalog import Model
from app.core.grants import Grant, allowed_request
from app.core.intervals import bounds_ms
from app.core.relays import Relay, dearest_micros
from app.core.request import ImageRequest, PromptLevel
from app.core.retry import RepeatHeaders
from app.errors import GatewayError, InternalError, InvalidApiKey, Overloaded
from app.images.booking import retry_until_booked
from app.images.crash import crash_point
from app.images.duplicates import Duplicates
from app.images.refusals import quota_refusal, rate_refusal
from app.rates import Rates, RateState, charge
from app.store.clock import Clock
from app.store.control_data import ControlData
from app.store.ledger.columns import CounterKey, Ending, Reservation
from app.store.ledger.types import IdempotencyKeyTaken, Ledger, LimitExceeded, Reserved, Stale

STALE_TRIES = 5
INVALID_KEY = "Incorrect API key provided. Ask your administrator for a new one."


@dataclass(frozen=True, slots=True)
class Admitted:
    """Reservation in the book, with the model and rates that its settlement and answer need. `request` is what is sent: an alias
    is resolved in it."""

    reservation: Reservation
    request: ImageRequest
    model: Model
    relays: tuple[Relay, ...]
    rates: tuple[RateState, ...]
    duplicate_of: str | None
    """Kept picture that its user bought by an equal request before."""


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """Headers and fingerprint, by which a repeated request is recognized."""

    retry: RepeatHeaders
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Admission:
    """Check of catalog and price, then of the rates, then the reservation. Raises a GatewayError to refuse."""

    control_data: ControlData
    rates: Rates
    ledger: Ledger
    background: BackgroundTasks
    clock: Clock
    zone: ZoneInfo
    currency: str
    process_id: str
    prompts: PromptLevel
    """Form in which prompts stand in the book."""
    duplicates: Duplicates

    async def admit(
        self, request_id: str, grant: Grant, request: ImageRequest, identity: RequestIdentity
    ) -> Admitted | None:
        """Reserve money, images and an in-flight place for `request`, all or nothing. Raises the GatewayError of a refusal.

        Return None when another request has taken its idempotency key meanwhile.
        """
        model, resolved, relays = await self._offer(grant, request)
        reservation = self._reservation(request_id, grant, resolved, model, relays, identity)
        states = await self.spend_rates(grant, model.id, images=request.n)
        for _ in range(STALE_TRIES):
            outcome = await self._reserve(reservation)
            if isinstance(outcome, Reserved):
                return Admitted(reservation, resolved, model, relays, states, outcome.duplicate_of)
            if isinstance(outcome, IdempotencyKeyTaken):
                return None
            if isinstance(outcome, LimitExceeded):
                raise quota_refusal(outcome, reservation.reserved_at_ms, self.zone, self.currency)
            grant = await self._reload_grant(grant)
            model, resolved, relays = await self._offer(grant, request)
            reservation = self._reservation(request_id, grant, resolved, model, relays, identity)
        raise Overloaded("The settings of this gateway are being changed; nothing was bought. Try again in a moment.")

    async def resolve(self, request: ImageRequest) -> ImageRequest:
        """Return a request for an alias as one for its model, any other unchanged. Raises StoreUnavailable."""
        return (await self.control_data.catalog()).resolve(request)

    async def allowed_request(self, grant: Grant, request: ImageRequest) -> tuple[Model, ImageRequest]:
        """Resolve an alias, and check that the key may use the model so. Raises as `grants.allowed_request` does, and
        StoreUnavailable."""
        return allowed_request(await self.control_data.catalog(), grant, request)

    async def _offer(self, grant: Grant, request: ImageRequest) -> tuple[Model, ImageRequest, tuple[Relay, ...]]:
        """Check a request as `allowed_request` does, and list the relays that may get it. Raises UpstreamModelUnavailable."""
        catalog = await self.control_data.catalog()
        model, resolved = allowed_request(catalog, grant, request)
        return model, resolved, catalog.relays_for(model.id)

    def _reservation(
        self,
        request_id: str,
        grant: Grant,
        request: ImageRequest,
        model: Model,
        relays: tuple[Relay, ...],
        identity: RequestIdentity,
    ) -> Reservation:
        now_ms = self.clock.now_ms()
        counted = [limit for limit in grant.limits if not limit.is_rate and limit.applies_to(model.id)]
        prompt, kept = str(request.fields.get("prompt", "")), self.prompts
        return Reservation(
            request_id=request_id,
            owner=self.process_id,
            api_key_id=grant.key_id,
            user_id=grant.user_id,
            project_id=grant.project_id,
            operation=request.operation,
            model=model.id,
            n=request.n,
            size=request.size,
            quality=request.quality,
            stream=request.stream,
            prompt_chars=request.prompt_chars,
            prompt_hmac=None if kept == "none" else keys.keyed_digest(self.duplicates.digest_key(), prompt.encode()),
            quote_micros=dearest_micros(relays, model.quote_micros(request, now_ms)),
            reserved_at_ms=now_ms,
            revision=grant.revision,
            counter_keys=tuple(CounterKey(limit, bounds_ms(limit.interval, now_ms, self.zone)[0]) for limit in counted),
            idempotency_key=identity.retry.idempotency_key,
            fingerprint=identity.fingerprint,
            tries=identity.retry.count + 1,
            response_format=request.response_format,
            asked_model=request.asked_model,
            prompt=prompt if kept == "text" and prompt else None,
            duplicate_digest=self.duplicates.digest(grant, request),
            via=grant.via,
            source_digest=None if kept == "none" else request.source_digest,
        )

    async def spend_rates(self, grant: Grant, model: str, *, images: int) -> tuple[RateState, ...]:
        """Count one request and `images` images in every rate of the key, all or none. Raises RateLimited."""
        rates = [limit for limit in grant.limits if limit.is_rate and limit.applies_to(model)]
        if not rates:
            return ()
        verdict = await self.rates.spend([charge(limit, images=images) for limit in rates])
        if not verdict.granted:
            raise rate_refusal(verdict, images)
        return verdict.states

    async def _reserve(self, reservation: Reservation) -> Reserved | LimitExceeded | Stale | IdempotencyKeyTaken:
        try:
            crash_point("before_reserve")
            outcome = await self.ledger.reserve(reservation)
            crash_point("after_reserve")
            return outcome
        except BaseException as exc:  # Also a cancellation of the caller.
            # The reservation may have been written all the same. Nothing was sent for it, so it is released.
            error = exc if isinstance(exc, GatewayError) else InternalError("The gateway failed; nothing was bought.")
            ending = Ending(self.clock.now_ms(), error.status, error.code, error.to_record())
            release = self.ledger.release
            self.background.start(
                retry_until_booked(lambda: release(reservation.request_id, ending, ("reserved",), reservation.owner))
            )
            raise

    async def _reload_grant(self, grant: Grant) -> Grant:
        self.control_data.expire()
        newer = await self.control_data.grant(grant.key_id)
        if newer is None or not newer.usable_at(self.clock.now_ms()):
            raise InvalidApiKey(INVALID_KEY)
        return newer
