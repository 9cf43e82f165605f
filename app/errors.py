"""Errors that a client is meant to read, as one family.

A class carries what never changes (status, type, code, whether waiting helps); the place that raises it says which thing,
what was needed and what is left. Anything that is not a GatewayError is a bug and answers 500.

`retryable` becomes `x-should-retry: false` when it is not set: true only where waiting at most a minute can help and no money
can have moved. The OpenAI SDKs retry 408, 409, 429 and every 5xx three times unless that header stops them.
"""

import copy
from typing import Any, Self


class GatewayError(Exception):
    """A refusal or failure in OpenAI's words. `retry_after_s` is whole seconds, 1 to 60, on retryable ones only."""

    status = 500
    type = "server_error"
    code: str | None = "internal_error"
    retryable = False
    default_retry_after_s = 5
    limit: str | None = None
    """Label of the limit that refused, where one did."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str | None = None,
        status: int | None = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code
        self.type = type or self.type
        self.status = status or self.status
        self.headers = headers or {}
        self.retry_after_s = min(max(retry_after_s or self.default_retry_after_s, 1), 60) if self.retryable else None

    def body(self) -> dict[str, Any]:
        """OpenAI's error object: all four keys, always."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def copy(self) -> Self:
        """A copy to raise for another client: the original's traceback keeps alive every object it has seen."""
        return copy.copy(self)

    def to_record(self) -> dict[str, Any]:
        """Record of all that the client is told, for `error_from_record`."""
        return {**self.body()["error"], "status": self.status, "retry_after_s": self.retry_after_s}


def error_from_record(record: dict[str, Any]) -> GatewayError:
    """The error that `record` was made from, to raise for another client."""
    error = GatewayError(
        record["message"], param=record["param"], code=record["code"], type=record["type"], status=record["status"]
    )
    error.retryable, error.retry_after_s = record["retry_after_s"] is not None, record["retry_after_s"]
    return error


class InternalError(GatewayError):
    """A bug of ours; the message never carries details."""


# --- the request is wrong: nothing happened, nothing will by trying again -------------------------------------------


class BadRequest(GatewayError):
    """400 and its relatives; `param` names the field where there is one."""

    status, type, code = 400, "invalid_request_error", "invalid_request"


class InvalidJson(BadRequest):
    code = "invalid_json"


class InvalidType(BadRequest):
    code = "invalid_type"


class InvalidValue(BadRequest):
    code = "invalid_value"


class MissingParameter(BadRequest):
    code = "missing_required_parameter"


class UnknownParameter(BadRequest):
    """Administration API only: what is sent to the image endpoints is not ours to know."""

    code = "unknown_parameter"


class DuplicateKey(BadRequest):
    code = "duplicate_key"


class StringTooLong(BadRequest):
    code = "string_above_max_length"


class InvalidMultipart(BadRequest):
    code = "invalid_multipart"


class InvalidImageType(BadRequest):
    code = "invalid_image_type"


class ImageEmpty(BadRequest):
    code = "image_empty"


class ImageTooLargeInPixels(BadRequest):
    code = "image_too_large_in_pixels"


class UnsupportedOperation(BadRequest):
    code = "unsupported_operation"


class ModelNotPriced(BadRequest):
    code = "model_not_priced"


class RelayRefusedRequest(BadRequest):
    """A check of the relay's own or of the provider: its status (400 and other 4xx) and code, its message cleaned."""


class InvalidApiKey(GatewayError):
    status, type, code = 401, "invalid_request_error", "invalid_api_key"


class ModelNotAllowed(GatewayError):
    status, type, code = 403, "invalid_request_error", "model_not_allowed"


class PermissionDenied(GatewayError):
    status, type, code = 403, "invalid_request_error", "permission_denied"


class NotFound(GatewayError):
    status, type, code = 404, "invalid_request_error", "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class UnknownUrl(NotFound):
    code = "unknown_url"


class MethodNotAllowed(GatewayError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class Conflict(GatewayError):
    """A name is taken, or a state forbids the change."""

    status, type, code = 409, "invalid_request_error", "conflict"


class ResultExpired(GatewayError):
    status, type, code = 410, "invalid_request_error", "result_expired"


class BodyTooLarge(GatewayError):
    status, type, code = 413, "invalid_request_error", "body_too_large"


class UriTooLong(GatewayError):
    status, type, code = 414, "invalid_request_error", "uri_too_long"


class UnsupportedMediaType(GatewayError):
    status, type, code = 415, "invalid_request_error", "unsupported_media_type"


class IdempotencyKeyReuse(GatewayError):
    status, type, code = 422, "invalid_request_error", "idempotency_key_reuse"


class HeadersTooLarge(GatewayError):
    status, type, code = 431, "invalid_request_error", "headers_too_large"


# --- a limit of ours ------------------------------------------------------------------------------------------------


class RateLimited(GatewayError):
    """A per-minute rate or an in-flight limit; type is `requests`, `images` or `in_flight`. Waiting helps."""

    status, type, code, retryable = 429, "requests", "rate_limit_exceeded", True


class NeverWithinRate(RateLimited):
    """One request asks for more than a whole minute allows: waiting cannot help."""

    retryable = False


class InsufficientQuota(GatewayError):
    """A spend limit, image quota or request quota. 429 as OpenAI sends it; waiting a minute cannot help."""

    status, type, code = 429, "insufficient_quota", "insufficient_quota"


# --- the relay ------------------------------------------------------------------------------------------------------


class UpstreamError(GatewayError):
    type = "upstream_error"


class UpstreamOutcomeUnknown(UpstreamError):
    """Sent, and the answer was lost, late, cut, unreadable or not images: it may be charged, so never try again."""

    status, code = 424, "upstream_outcome_unknown"


class UpstreamBadPayload(UpstreamError):
    """Charged, but what came is not an image."""

    status, code = 424, "upstream_bad_payload"


class UpstreamRateLimited(UpstreamError):
    status, code, retryable = 429, "upstream_rate_limited", True


class UpstreamMisconfigured(UpstreamError):
    status, code = 502, "upstream_misconfigured"


class UpstreamWalletEmpty(UpstreamError):
    status, code = 503, "upstream_wallet_empty"


class UpstreamModelUnavailable(UpstreamError):
    status, code = 503, "upstream_model_unavailable"


class UpstreamUnreachable(UpstreamError):
    """No request byte left."""

    status, code, retryable = 503, "upstream_unreachable", True


# --- we cannot, right now; no money moved ---------------------------------------------------------------------------


class Unavailable(GatewayError):
    status, code, retryable = 503, "overloaded", True


class Overloaded(Unavailable):
    pass


class Draining(Unavailable):
    code = "draining"


class StoreUnavailable(Unavailable):
    code = "store_unavailable"


class StorageFull(Unavailable):
    code = "storage_full"


# --- not for HTTP: a configuration the process refuses to start on --------------------------------------------------


class ConfigurationError(Exception):
    """Start-up is refused; the message names the cure."""
