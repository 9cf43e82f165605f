"""Answers about models, prices and spending: model list, billing endpoints, key log, price list."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from .catalog import MODELS, SandboxModel
from .records import POINTS_PER_SITE_DOLLAR, BillLine, Profile

if TYPE_CHECKING:
    from .relay import Sandbox

Handler = Callable[["Sandbox", Request], Any]
CREATED = 1_626_777_600
LOG_ROWS_MAX = 1000


def bound(sandbox: Sandbox, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint that records the request, runs the handler and sends its answer as JSON."""

    async def endpoint(request: Request) -> Response:
        sandbox.note(request)
        body = json.dumps(handler(sandbox, request), ensure_ascii=False).encode()
        return Response(body, headers={"Content-Type": "application/json; charset=utf-8"})

    return endpoint


def _bearer(sandbox: Sandbox, request: Request) -> None:
    sandbox.check_key(request.headers.get("authorization", ""))


def list_models(sandbox: Sandbox, request: Request) -> Any:
    _bearer(sandbox, request)
    models = [_model(model, sandbox.options.profile) for model in MODELS.values()]
    kind = {"object": "list"} if sandbox.options.profile == "N" else {}
    return {"success": True, **kind, "data": models}


def one_model(sandbox: Sandbox, request: Request) -> Any:
    """Describe one model. Like the relay, answer 200 with an error for a model that is listed but not built in."""
    _bearer(sandbox, request)
    name = request.path_params["name"]
    model = MODELS.get(name)
    if model is not None and model.built_in:
        return _model(model, sandbox.options.profile)
    message = f"The model '{name}' does not exist"
    return {"error": {"message": message, "type": "invalid_request_error", "param": "model", "code": "model_not_found"}}


def _model(model: SandboxModel, profile: Profile) -> dict[str, Any]:
    head = {"id": model.name, "object": "model", "created": CREATED, "owned_by": model.owned_by}
    if profile == "N":
        return {**head, "supported_endpoint_types": ["image-generation"]}
    return {**head, "permission": None, "root": model.name, "parent": None}


def _used_points(sandbox: Sandbox) -> int:
    return sum(charge.points for charge in sandbox.bill)


def subscription(sandbox: Sandbox, request: Request) -> Any:
    """Describe the key's limit: the relay shows a key without a limit as a hundred million."""
    _bearer(sandbox, request)
    limit = 100_000_000
    return {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": limit,
        "hard_limit_usd": limit,
        "system_hard_limit_usd": limit,
        "access_until": 0,
    }


def usage(sandbox: Sandbox, request: Request) -> Any:
    """Total spending in hundredths of a site dollar. Like the relay, ignore the dates in the query."""
    _bearer(sandbox, request)
    return {"object": "list", "total_usage": _used_points(sandbox) * 100 / POINTS_PER_SITE_DOLLAR}


def token_usage(sandbox: Sandbox, request: Request) -> Any:
    _bearer(sandbox, request)
    used = _used_points(sandbox)
    data = {
        "object": "token_usage",
        "name": "sandbox",
        "total_granted": used,
        "total_used": used,
        "total_available": 0,
        "unlimited_quota": True,
        "model_limits": {},
        "model_limits_enabled": False,
        "expires_at": 0,
    }
    return {"code": True, "message": "ok", "data": data}


def log_of_key(sandbox: Sandbox, request: Request) -> Any:
    """List the key's charges, newest first. Profile C takes the key as a query parameter; N as a bearer, 1,000 rows at most."""
    profile = sandbox.options.profile
    if profile == "C":
        sandbox.check_key(request.query_params.get("key", ""))
    else:
        _bearer(sandbox, request)
    rows = [_log_row(number, charge, profile) for number, charge in enumerate(sandbox.bill, 1)]
    rows.reverse()
    return {"success": True, "message": "", "data": rows if profile == "C" else rows[:LOG_ROWS_MAX]}


def _log_row(number: int, charge: BillLine, profile: Profile) -> dict[str, Any]:
    price = float(MODELS[charge.model].price)
    content = f"模型价格 {price:.2f}，分组倍率 1.00" if profile == "C" else f"生成数量 {charge.n}"
    row = {
        "id": number,
        "created_at": charge.at_ms // 1000,
        "type": 2,
        "content": content,
        "username": "sandbox",
        "token_name": "sandbox",
        "model_name": charge.model,
        "quota": charge.points,
        "prompt_tokens": charge.n,
        "completion_tokens": 0,
        "use_time": 1,
        "is_stream": False,
        "channel": 1,
        "token_id": 1,
        "group": "default",
        "ip": "",
        "other": json.dumps({"model_price": price, "model_ratio": 0, "group_ratio": 1, "completion_ratio": 0}),
    }
    return row if profile == "C" else {**row, "request_id": charge.request_id, "upstream_request_id": ""}


def pricing(_sandbox: Sandbox, _request: Request) -> Any:
    rows = [
        {
            "model_name": model.name,
            "quota_type": 1,
            "model_ratio": 0,
            "model_price": float(model.price),
            "owner_by": model.owned_by,
            "completion_ratio": 0,
            "enable_groups": ["default"],
        }
        for model in MODELS.values()
    ]
    return {"success": True, "data": rows, "group_ratio": {"default": 1}, "usable_group": {"default": "default"}}


def status(sandbox: Sandbox, _request: Request) -> Any:
    data = {
        "quota_per_unit": POINTS_PER_SITE_DOLLAR,
        "display_in_currency": True,
        "quota_display_type": "USD",
        "usd_exchange_rate": 1,
        "price": 1,
        "version": f"sandbox-{sandbox.options.profile}",
    }
    return {"success": True, "message": "", "data": data}


_SHARED: dict[str, Handler] = {
    "/v1/models": list_models,
    "/v1/models/{name:path}": one_model,
    "/v1/dashboard/billing/subscription": subscription,
    "/dashboard/billing/subscription": subscription,
    "/v1/dashboard/billing/usage": usage,
    "/dashboard/billing/usage": usage,
    "/api/log/token": log_of_key,
    "/api/pricing": pricing,
    "/api/status": status,
}
ENDPOINTS: dict[Profile, dict[str, Handler]] = {"C": _SHARED, "N": {**_SHARED, "/api/usage/token/": token_usage}}
