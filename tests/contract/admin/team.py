"""A team from nothing, with the OpenAI Python SDK 3 and nothing else.

`BASE_URL` (with /v1), `ADMIN_KEY` and `CURRENCY` stand in the environment. Prints what it saw, as JSON.
"""

import importlib
import json
import os
import time
from typing import Any

openai: Any = importlib.import_module("openai")  # Not there where these files are linted.

BASE_URL, CURRENCY = os.environ["BASE_URL"], os.environ["CURRENCY"]
MODEL, DENIED = "seedream-3.0", "gpt-image-1"

# Whoever runs the gateway has an admin API key. Answers are checked against the SDK's own types, which know one currency only.
strict = CURRENCY == "USD"
admin = openai.OpenAI(
    admin_api_key=os.environ["ADMIN_KEY"], base_url=BASE_URL, max_retries=0, _strict_response_validation=strict
)
organization = admin.admin.organization

# The team: a project, and a service account in it, whose key is shown this once.
project = organization.projects.create(name="posters")
robot = organization.projects.service_accounts.create(project.id, name="poster robot")

# What it may do: one model, three images a minute, 5.00 a month. Somebody is told at 4.00.
organization.projects.model_permissions.update(project.id, mode="allow_list", model_ids=[MODEL])
rate = organization.projects.rate_limits.update_rate_limit(
    f"rl-{MODEL}", project_id=project.id, max_images_per_1_minute=3, max_requests_per_1_minute=10
)
spend = organization.projects.spend_limit.update(project.id, threshold_amount=500, currency=CURRENCY, interval="month")
alert = organization.projects.spend_alerts.create(
    project.id,
    threshold_amount=400,
    currency=CURRENCY,
    interval="month",
    notification_channel={"type": "email", "recipients": ["finance@example.com"]},
)

# The team at work.
team = openai.OpenAI(api_key=robot.api_key.value, base_url=BASE_URL, max_retries=0)
image = team.images.generate(model=MODEL, prompt="A poster of a lighthouse", n=2)


def refusal(model: str, n: int) -> str:
    """The code of an error that is expected."""
    try:
        team.images.generate(model=model, prompt="A poster of a lighthouse", n=n)
    except openai.APIStatusError as exc:
        return str(exc.code)
    return "none"


refused = {"another model": refusal(DENIED, 1), "two more images": refusal(MODEL, 2)}

# What it used, and what that cost.
since = int(time.time()) - 3600
used = organization.usage.images(
    start_time=since, project_ids=[project.id], group_by=["project_id", "user_id", "model", "source"]
)
costs = organization.usage.costs(start_time=since, project_ids=[project.id], group_by=["project_id", "line_item"])
left = organization.projects.spend_limit.retrieve(project.id)

print(
    json.dumps(
        {
            "project": project.id,
            "robot": robot.id,
            "rate limit": [rate.model, rate.max_images_per_1_minute, rate.max_requests_per_1_minute],
            "spend limit": [spend.threshold_amount, spend.currency, spend.interval],
            "left_micros": left.left_micros,
            "alert": [alert.threshold_amount, alert.notification_channel.recipients],
            "images": len(image.data),
            "refused": refused,
            "used": [
                [each.project_id, each.user_id, each.model, each.source, each.images, each.num_model_requests]
                for bucket in used.data
                for each in bucket.results
            ],
            "costs": [
                [each.project_id, each.line_item, each.amount.value, each.amount.currency]
                for bucket in costs.data
                for each in bucket.results
            ],
        }
    )
)
