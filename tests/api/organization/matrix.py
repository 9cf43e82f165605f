"""Who may call what: a row for each route of the application. A new route without a row makes `test_matrix` red."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

Door = Literal["public", "own", "mine", "linked", "admin"]
"""Who gets in: everybody; every API key that works; the API key whose object it is, others get 404; the same, and whoever has a
link; admin keys, and of them readers for GET only."""

PROJECT = "/v1/organization/projects/{project_id}"
ROOT = "/v1/organization"
MAIL = {"type": "email", "recipients": ["a@example.com"]}
ALERT = {"currency": "CNY", "interval": "month", "threshold_amount": 100, "notification_channel": MAIL}
OURS = {"threshold_amount": 100, "notification_channels": [MAIL]}
SPEND = {"currency": "CNY", "interval": "month", "threshold_amount": 100_000}
QUOTA = {"interval": "month", "threshold_amount": 1000}
IMAGE = {"model": "seedream-3.0", "prompt": "a lighthouse"}
EDIT = {**IMAGE, "model": "gpt-image-1", "images": [{"image_url": "{picture}"}]}
PRICE = {"model": "imagen4", "per_image": "0.20"}
RELAY = {"name": "third", "base_url": "http://127.0.0.1:9", "key": "sk-third", "models": ["imagen4"]}
REASON = {"reason": "the relay says so"}
DECISIONS = ("settle", "release", "write_off")
RECENT = {"start_time": int(time.time()) - 3600}
LATER = int(time.time()) + 86_400
SINCE = {**RECENT, "limit": 1}


@dataclass(frozen=True, slots=True)
class Row:
    """`body` is a good one; `{names}` in it and in the path are objects of the test's world. `at` says which object stands for
    a name of the path where it is not the one of that name: `spare` ones are there to be deleted. `status` is what whoever
    gets in is answered. `shared`: what the last name of the path stands for is in every project. `looking`:
    what an API key that only looks is answered, where that is something else: no model is there for it. `reading`: the same for an
    admin key that only looks."""

    method: str
    path: str
    door: Door = "admin"
    body: dict[str, Any] | None = None
    query: dict[str, Any] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    status: int = 200
    shared: bool = False
    looking: int | None = None
    reading: int | None = None


def _limits(path: str) -> list[Row]:
    rows = []
    for name, body in (("spend_limit", SPEND), ("image_quota", QUOTA)):
        rows += [Row(method, f"{path}/{name}", body=body if method == "POST" else None) for method in ("POST", "GET")]
        rows.append(Row("DELETE", f"{path}/{name}"))
    return rows


def _alerts(path: str, body: dict[str, Any], alert: str) -> list[Row]:
    one, at = f"{path}/{{alert_id}}", {"alert_id": alert}
    return [
        Row("POST", path, body=body),
        Row("GET", path),
        Row("GET", one, at=at),
        Row("POST", one, body=body, at=at),
        Row("DELETE", one, at=at),
    ]


ROWS = [
    Row("GET", "/", "public"),
    Row("GET", "/healthz", "public"),
    Row("GET", "/readyz", "public"),
    Row("GET", "/metrics", "public", status=404),
    Row("GET", "/openapi.json", "public"),
    Row("GET", "/docs", "public"),
    Row("GET", "/v1/models", "own"),
    Row("GET", "/v1/models/{model:path}", "own", at={"model:path": "model"}, looking=404),
    Row("GET", "/v1/key", "own"),
    Row("GET", "/v1/usage/images", "own", query=SINCE),
    Row("GET", "/v1/costs", "own", query=SINCE),
    Row("POST", "/v1/images/quote", "own", IMAGE, looking=403),
    Row("POST", "/v1/images/generations", "own", IMAGE, looking=403),
    Row("POST", "/v1/images/edits", "own", EDIT, looking=403),
    # No model does it, and it takes forms only: whoever gets in is told so.
    Row("POST", "/v1/images/variations", "own", IMAGE, status=415),
    Row("GET", "/v1/images/pictures/{picture_id}/content", "linked", looking=200),
    Row("GET", "/v1/images/pictures/{picture_id}/thumbnail", "linked", looking=200),
    Row("GET", "/v1/images/pictures", "own"),
    Row("GET", "/v1/images/pictures/{picture_id}", "mine", looking=200),
    Row("POST", "/v1/images/pictures/{picture_id}", "mine", body={"kept_until": LATER}, looking=403),
    Row("POST", "/v1/images/pictures/{picture_id}/link", "mine", body={"seconds": 60}, looking=403),
    Row("DELETE", "/v1/images/pictures/{picture_id}", "mine", at={"picture_id": "spare_picture"}, looking=403),
    Row("GET", "/v1/images/requests/{request_id}", "mine"),
    Row("GET", "/v1/images/requests/{request_id}/result", "mine"),
    Row("POST", f"{ROOT}/admin_api_keys", body={"name": "another"}),
    Row("GET", f"{ROOT}/admin_api_keys"),
    Row("GET", f"{ROOT}/admin_api_keys/{{key_id}}"),
    Row("DELETE", f"{ROOT}/admin_api_keys/{{key_id}}"),
    Row("POST", f"{ROOT}/users", body={"name": "somebody"}),
    Row("GET", f"{ROOT}/users"),
    # It takes CSV only: whoever gets in is told so.
    Row("POST", f"{ROOT}/users.csv", body={}, status=415),
    Row("GET", f"{ROOT}/users/{{user_id}}"),
    Row("POST", f"{ROOT}/users/{{user_id}}", body={"role": "owner"}),
    Row("DELETE", f"{ROOT}/users/{{user_id}}", at={"user_id": "spare_user"}),
    Row("GET", f"{ROOT}/users/{{user_id}}/erasure"),
    Row("POST", f"{ROOT}/users/{{user_id}}/erase", at={"user_id": "spare_user"}),
    Row("POST", f"{ROOT}/invites", body={"email": "somebody@example.com"}),
    Row("GET", f"{ROOT}/invites"),
    Row("GET", f"{ROOT}/invites/{{invite_id}}"),
    Row("DELETE", f"{ROOT}/invites/{{invite_id}}"),
    Row("GET", f"{ROOT}/sessions"),
    Row("DELETE", f"{ROOT}/sessions/{{session_id}}"),
    Row("POST", f"{ROOT}/projects", body={"name": "something"}),
    Row("GET", f"{ROOT}/projects"),
    Row("GET", PROJECT),
    Row("POST", PROJECT, body={"name": "something else"}),
    Row("POST", f"{PROJECT}/archive", at={"project_id": "spare_project"}),
    Row("POST", f"{PROJECT}/users", body={"user_id": "{other_user}", "role": "member"}),
    Row("GET", f"{PROJECT}/users"),
    Row("GET", f"{PROJECT}/users/{{user_id}}"),
    Row("POST", f"{PROJECT}/users/{{user_id}}", body={"role": "owner"}),
    Row("DELETE", f"{PROJECT}/users/{{user_id}}", at={"user_id": "member"}),
    Row("POST", f"{PROJECT}/service_accounts", body={"name": "something"}),
    Row("GET", f"{PROJECT}/service_accounts"),
    Row("GET", f"{PROJECT}/service_accounts/{{service_account_id}}"),
    Row("POST", f"{PROJECT}/service_accounts/{{service_account_id}}", body={"name": "something else"}),
    Row("POST", f"{PROJECT}/service_accounts/{{service_account_id}}/api_keys", body={"name": "another"}),
    Row("DELETE", f"{PROJECT}/service_accounts/{{service_account_id}}"),
    Row("POST", f"{PROJECT}/api_keys", body={"user_id": "{user_id}"}),
    Row("GET", f"{PROJECT}/api_keys"),
    Row("GET", f"{PROJECT}/api_keys/{{api_key_id}}"),
    Row("POST", f"{PROJECT}/api_keys/{{api_key_id}}", body={"expires_in_seconds": 3600}),
    Row("POST", f"{PROJECT}/api_keys/{{api_key_id}}/rotate", body={"leaked": True}),
    Row("POST", f"{PROJECT}/api_keys/{{api_key_id}}/move", body={"project_id": "{project_id}"}),
    *_limits(f"{PROJECT}/api_keys/{{api_key_id}}"),
    Row("DELETE", f"{PROJECT}/api_keys/{{api_key_id}}"),
    Row("GET", f"{PROJECT}/rate_limits"),
    Row("POST", f"{PROJECT}/rate_limits/{{rate_limit_id:path}}", body={"max_requests_per_1_minute": 9}, shared=True),
    Row("POST", f"{PROJECT}/model_permissions", body={"mode": "deny_list", "model_ids": ["imagen4"]}),
    Row("GET", f"{PROJECT}/model_permissions"),
    Row("DELETE", f"{PROJECT}/model_permissions"),
    *_limits(ROOT),
    *_limits(PROJECT),
    *_limits(f"{ROOT}/users/{{user_id}}"),
    *_alerts(f"{ROOT}/spend_alerts", ALERT, "alert"),
    *_alerts(f"{PROJECT}/spend_alerts", ALERT, "project_alert"),
    Row("GET", f"{ROOT}/alerts/{{alert_id}}/firings", at={"alert_id": "our_alert"}),
    Row("POST", f"{ROOT}/alerts/{{alert_id}}/test", at={"alert_id": "our_alert"}),
    *_alerts(f"{ROOT}/alerts", OURS, "our_alert"),
    Row("POST", f"{ROOT}/model_aliases", body={"name": "dall-e-*", "model": "gpt-image-1"}),
    Row("GET", f"{ROOT}/model_aliases"),
    Row("DELETE", f"{ROOT}/model_aliases", query={"name": "dall-e-2"}),
    Row("POST", f"{ROOT}/relays", body=RELAY),
    Row("GET", f"{ROOT}/relays"),
    Row("GET", f"{ROOT}/relays/{{relay}}"),
    Row("POST", f"{ROOT}/relays/{{relay}}", body={"weight": 2}),
    Row("POST", f"{ROOT}/relays/{{relay}}/key", body={"key": "sk-another"}),
    Row("DELETE", f"{ROOT}/relays/{{relay}}"),
    Row("POST", f"{ROOT}/prices", body=PRICE),
    Row("GET", f"{ROOT}/prices"),
    Row("DELETE", f"{ROOT}/prices/{{price_id}}"),
    Row("GET", f"{ROOT}/prices/export"),
    Row("POST", f"{ROOT}/prices/sync", body={}),
    Row("POST", f"{ROOT}/prices/import", body={"currency": "CNY", "prices": [PRICE]}),
    Row("GET", f"{ROOT}/usage/images", query=SINCE),
    Row("GET", f"{ROOT}/usage/images.csv", query=RECENT),
    Row("GET", f"{ROOT}/usage/report"),
    Row("GET", f"{ROOT}/statements"),
    Row("POST", f"{ROOT}/statements", body={"month": "2026-01"}),
    Row("GET", f"{ROOT}/statements/{{month}}"),
    Row("GET", f"{ROOT}/costs", query=SINCE),
    Row("GET", f"{ROOT}/pictures"),
    Row("GET", f"{ROOT}/pictures/{{picture_id}}"),
    Row("GET", f"{ROOT}/pictures/{{picture_id}}/content", reading=403),
    Row("GET", f"{ROOT}/pictures/{{picture_id}}/thumbnail", reading=403),
    Row("DELETE", f"{ROOT}/pictures/{{picture_id}}", at={"picture_id": "unwanted_picture"}),
    Row("POST", f"{ROOT}/pictures/prune", body={"dry_run": True}),
    Row("GET", f"{ROOT}/audit_logs"),
    Row("GET", f"{ROOT}/requests"),
    Row("GET", f"{ROOT}/requests/{{request_id}}"),
    Row("GET", f"{ROOT}/refusals"),
    Row("GET", f"{ROOT}/requests.csv"),
    Row("GET", f"{ROOT}/refusals.csv"),
    # The one there is ended: whoever gets in is told so.
    *[Row("POST", f"{ROOT}/requests/{{request_id}}/{verb}", body=REASON, status=409) for verb in DECISIONS],
    Row("POST", f"{ROOT}/reconcile", body={"dry_run": True}),
    Row("GET", f"{ROOT}/audit"),
    Row("GET", f"{ROOT}/doctor"),
    Row("GET", f"{ROOT}/installation"),
    Row("GET", f"{ROOT}/models"),
    Row("DELETE", f"{ROOT}/models", query={"model": "flux-kontext-max"}),
    Row("GET", f"{ROOT}/api_keys"),
    Row("GET", f"{ROOT}/api_keys/{{api_key_id}}", at={"api_key_id": "own_key"}),
    Row("GET", f"{ROOT}/service_accounts"),
    Row("GET", f"{ROOT}/limits"),
    Row("GET", f"{ROOT}/limit_increases"),
    Row("POST", f"{ROOT}/limit_increases/{{increase_id}}/approve", body={}),
    Row("POST", f"{ROOT}/limit_increases/{{increase_id}}/decline", body={}, at={"increase_id": "spare_increase"}),
    Row("POST", f"{ROOT}/limits", body={"limits": [{"unit": "images", "interval": "day", "amount": 1000}]}),
]
