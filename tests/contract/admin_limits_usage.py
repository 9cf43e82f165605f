"""Run by the Python of an environment that has openai 3.x: limits, permissions, usage and costs over the SDK.

Reads a JSON object from standard input and prints one: what it saw. Every answer is validated against the SDK's own types.
"""

import json
import sys
from typing import Any

from openai import OpenAI, PermissionDeniedError, RateLimitError  # type: ignore[import-not-found]


def main() -> None:
    given = json.load(sys.stdin)
    client = OpenAI(
        base_url=f"{given['url']}/v1",
        api_key=given["key"],
        admin_api_key=given["admin_key"],
        max_retries=0,
        _strict_response_validation=True,
    )
    seen: dict[str, Any] = {}
    _rate_limits(client, given["project_id"], seen)
    _model_permissions(client, given["project_id"], seen)
    _spend_limits(client, given["project_id"], given["currency"], seen)
    _usage(client, given, seen)
    print(json.dumps(seen))


def _buy(client: OpenAI, model: str = "seedream-3.0") -> str:
    try:
        return f"{len(client.images.generate(model=model, prompt='a lighthouse').data or [])} image"
    except (RateLimitError, PermissionDeniedError) as exc:
        return str(exc.code)


def _rate_limits(client: OpenAI, project: str, seen: dict[str, Any]) -> None:
    limits = client.admin.organization.projects.rate_limits
    seen["rate limits"] = [row.model for row in limits.list_rate_limits(project, limit=2)]
    row = limits.update_rate_limit("rl-flux-kontext-pro", project_id=project, max_requests_per_1_minute=1)
    seen["rate limit"] = [row.id, row.max_requests_per_1_minute, row.max_images_per_1_minute]
    seen["bought within the rate"] = [_buy(client, "flux-kontext-pro") for _ in range(2)]


def _model_permissions(client: OpenAI, project: str, seen: dict[str, Any]) -> None:
    permissions = client.admin.organization.projects.model_permissions
    seen["permissions at first"] = [(found := permissions.retrieve(project)).mode, found.api_model_ids]
    changed = permissions.update(project, mode="deny_list", model_ids=["gpt-image-1"])
    seen["permissions"] = [changed.mode, changed.api_model_ids]
    seen["bought of the denied"] = _buy(client, "gpt-image-1")
    seen["permissions deleted"] = permissions.delete(project).deleted


def _spend_limits(client: OpenAI, project: str, currency: Any, seen: dict[str, Any]) -> None:
    own = client.admin.organization.spend_limit
    of_project = client.admin.organization.projects.spend_limit
    own.update(currency=currency, interval="month", threshold_amount=100_000)
    of_project.update(project, currency=currency, interval="month", threshold_amount=16)
    seen["bought within the limit"] = [_buy(client) for _ in range(3)]
    for name, limit in (("organization", own.retrieve()), ("project", of_project.retrieve(project))):
        seen[f"spend limit of the {name}"] = [limit.threshold_amount, limit.interval, limit.enforcement.status]
    seen["spend limits deleted"] = [own.delete().deleted, of_project.delete(project).deleted]


def _usage(client: OpenAI, given: dict[str, Any], seen: dict[str, Any]) -> None:
    usage, start = client.admin.organization.usage, given["start_time"]
    for width in ("1m", "1h", "1d"):
        found = usage.images(
            start_time=start,
            bucket_width=width,
            group_by=["project_id", "model", "source"],
            project_ids=[given["project_id"]],
            models=["seedream-3.0"],
            sources=["image.generation"],
        )
        results = [result for bucket in found.data for result in bucket.results]
        seen[f"usage of {width}"] = [
            [each.model, each.source, each.images, each.num_model_requests] for each in results
        ]
    costs = usage.costs(start_time=start, group_by=["line_item"], project_ids=[given["project_id"]])
    items = [result for bucket in costs.data for result in bucket.results]
    seen["costs"] = sorted([each.line_item, each.amount.value, each.amount.currency, each.quantity] for each in items)
    pages, page = [], usage.images(start_time=start - 5 * 86_400, limit=2)
    while True:
        pages.append(len(page.data))
        if page.next_page is None:
            break
        page = usage.images(start_time=start - 5 * 86_400, limit=2, page=page.next_page)
    seen["buckets of all pages"] = sum(pages)


if __name__ == "__main__":
    main()
