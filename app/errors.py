"""Errors that clients receive, all derived from GatewayError.

A class holds status, type, code and whether a retry can help; the message is written where it is raised, and names the limit or
field and what was needed and left. Any other exception is a bug and answers 500.

Without `retryable` the response has `x-should-retry: false`. It is true only when waiting at most a minute can help and nothing
can have been charged. The OpenAI SDKs retry 408, 409, 429 and every 5xx twice (three tries in all) unless that
header stops them.
"""

import copy
from typing import Any, Self


class GatewayError(Exception):
    """Refusal or failure, answered as OpenAI's error object. `retry_after_s` is 1 to 60 whole seconds, None unless retryable."""

    status = 500
    type = "server_error"
    code: str | None = "internal_error"
    retryable = False
    default_retry_after_s = 5
    limit: str | None = None
    """Label of the limit that refused the request, None for other errors."""

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
        """Return OpenAI's error object, always with all four keys."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def copy(self) -> Self:
        """Return a copy to raise for another client. The original's traceback would keep all its frames in memory."""
        return copy.copy(self)

    def to_record(self) -> dict[str, Any]:
        """Return the fields that the client receives, as JSON values for `error_from_record`."""
        return {**self.body()["error"], "status": self.status, "retry_after_s": self.retry_after_s}


def error_from_record(record: dict[str, Any]) -> GatewayError:
    """Rebuild the error that `record` was made from."""
    error = GatewayError(
        record["message"], param=record["param"], code=record["code"], type=record["type"], status=record["status"]
    )
    error.retryable, error.retry_after_s = record["retry_after_s"] is not None, record["retry_after_s"]
    return error


class InternalError(GatewayError):
    """Bug of the gateway; the message never holds details."""


# --- invalid requests: nothing happened, and a retry cannot help ----------------------------------------------------


class BadRequest(GatewayError):
    """Invalid request; `param` names the field, if there is one."""

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
    """Unknown parameter of the administration API. Image endpoints pass unknown fields to the relay instead."""

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
    """Refusal by the relay or the provider, with its status (400 and other 4xx), its code and its redacted message."""


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
    """Change that a taken name or the current state forbids."""

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


# --- limits of the gateway ------------------------------------------------------------------------------------------


class RateLimited(GatewayError):
    """Rate per minute or in-flight limit reached; type is `requests`, `images` or `in_flight`. Waiting helps."""

    status, type, code, retryable = 429, "requests", "rate_limit_exceeded", True


class NeverWithinRate(RateLimited):
    """Request for more images than a whole minute allows; waiting cannot help."""

    retryable = False


class InsufficientQuota(GatewayError):
    """Spend limit, image quota or request quota used up. 429 as OpenAI sends it; waiting a minute cannot help."""

    status, type, code = 429, "insufficient_quota", "insufficient_quota"


# --- the relay ------------------------------------------------------------------------------------------------------


class UpstreamError(GatewayError):
    type = "upstream_error"


class UpstreamOutcomeUnknown(UpstreamError):
    """Answer of a sent request that was lost, late, cut, unreadable or not images. It may be charged, so it is not retryable."""

    status, code = 424, "upstream_outcome_unknown"


class UpstreamBadPayload(UpstreamError):
    """Charged answer that holds no image."""

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
    """Relay that could not be reached: no byte of the request was sent."""

    status, code, retryable = 503, "upstream_unreachable", True


class RelayPaused(UpstreamError):
    """Relay that gets no requests for a while, because the last ones may have been charged and brought no image."""

    status, code, retryable = 503, "relay_paused", True


# --- the gateway is unavailable for now; nothing was charged ---------------------------------------------------------


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


# --- not sent over HTTP ---------------------------------------------------------------------------------------------


class ConfigurationError(Exception):
    """Configuration that the process refuses to start with; the message names the remedy."""
