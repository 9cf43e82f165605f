"""Spend alerts with the OpenAI Python SDK 3.x: `python -m tests.contract.admin_alerts < WHERE.json`. Runs without our packages.

Prints the ids of what it leaves behind, as JSON.
"""

import importlib
import json
import sys
from typing import Any


def main() -> None:
    where = json.load(sys.stdin)
    openai: Any = importlib.import_module("openai")  # Not there where these files are linted.
    # The SDK sends the admin key by itself only to what it knows; for our own paths it has to be the other one, too.
    key = where["admin_key"]
    admin = openai.OpenAI(api_key=key, admin_api_key=key, base_url=f"{where['url']}/v1")
    organization = admin.admin.organization
    channel = {"type": "email", "recipients": ["finance@example.com"], "subject_prefix": "[team]"}
    given = {"currency": where["currency"], "interval": "month", "notification_channel": channel}

    kept = whole_life(openai, organization.spend_alerts, {}, "organization", given)
    project = where["project"]
    for_project = whole_life(openai, organization.projects.spend_alerts, {"project_id": project}, "project", given)
    hook = {"type": "webhook", "url": where["hook"]}
    body = {"threshold_amount": 100, "notification_channels": [hook]}
    ours = admin.post("/organization/alerts", cast_to=object, body=body)
    priced = admin.post("/organization/prices", cast_to=object, body={"model": "imagen4", "per_image": "0.20"})
    assert priced["in_force"] is True, priced
    print(json.dumps({"spend": kept, "project": for_project, "ours": ours}))


def whole_life(openai: Any, resource: Any, within: dict[str, str], kind: str, given: dict[str, Any]) -> str:
    """Create, retrieve, update, list over pages, delete; returns the id of one that stays, at 1.00."""
    made = [resource.create(**within, **given, threshold_amount=cents) for cents in (100, 300, 200)]
    for alert in made:
        strict = type(alert).model_validate(alert.model_dump(), strict=True)
        assert strict.object == f"{kind}.spend_alert" and strict.interval == "month", strict
        assert strict.notification_channel.subject_prefix == "[team]", strict
    first, second, third = made
    assert resource.retrieve(second.id, **within) == second
    changed = resource.update(third.id, **within, **given, threshold_amount=400)
    assert (changed.id, changed.threshold_amount) == (third.id, 400), changed
    listed = list(resource.list(**within, limit=1))  # The SDK goes on to the next page by itself.
    assert {alert.id for alert in listed} == {alert.id for alert in made}, listed
    assert list(resource.list(**within, order="desc")) == listed[::-1]
    for alert in (second, third):
        gone = resource.delete(alert.id, **within)
        assert (gone.id, gone.deleted, gone.object) == (alert.id, True, f"{kind}.spend_alert.deleted"), gone
    try:
        resource.retrieve(second.id, **within)
    except openai.NotFoundError as exc:
        assert exc.code == "not_found", exc
    else:
        raise AssertionError("it is still there")
    return str(first.id)


if __name__ == "__main__":
    main()
