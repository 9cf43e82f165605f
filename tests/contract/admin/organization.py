"""The administration API through the OpenAI Python SDK: `python -m tests.contract.admin.organization < WHERE.json`.

Runs beside the SDK, without the gateway's own packages. Prints a JSON object a line: `name` and `failure`, which is null or a
traceback.
"""

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

openai: Any = importlib.import_module("openai")  # Not there where these files are linted.
where: dict[str, str] = {}
CHECKS: list[Callable[[], None]] = []


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS.append(function)
    return function


def organization(key: str = "owner") -> Any:
    client = openai.OpenAI(admin_api_key=where[key], base_url=f"{where['url']}/v1", max_retries=0)
    return client.admin.organization


def generate(api_key: str) -> Any:
    client = openai.OpenAI(api_key=api_key, base_url=f"{where['url']}/v1", max_retries=0)
    return client.images.generate(model="seedream-3.0", prompt="a lighthouse", n=1)


def whole(answer: Any) -> Any:
    """The answer, checked against the SDK's own type: it fills in what is missing and takes what is wrong without a word."""
    type(answer).model_validate(json.loads(answer.to_json()))
    return answer


def raises(error: str, code: str, call: Callable[[], Any]) -> None:
    try:
        call()
    except getattr(openai, error) as exc:
        assert exc.code == code, exc
        return
    raise AssertionError(f"no {error}")


@check
def admin_api_keys() -> None:
    keys = organization().admin_api_keys
    made = whole(keys.create(name="second", expires_in_seconds=3600))
    assert made.value.startswith("sk-ig-admin-") and made.expires_at == made.created_at + 3600
    assert whole(keys.retrieve(made.id)).redacted_value.endswith(made.value[-11:-7])
    assert made.id in [whole(each).id for each in keys.list(limit=1)]
    assert next(iter(keys.list(limit=1, order="desc"))).id == made.id
    client = openai.OpenAI(admin_api_key=made.value, base_url=f"{where['url']}/v1")
    assert list(client.admin.organization.projects.list())
    assert whole(keys.delete(made.id)).deleted is True
    raises("NotFoundError", "not_found", lambda: keys.retrieve(made.id))
    raises("AuthenticationError", "invalid_api_key", lambda: client.admin.organization.projects.list())


@check
def an_api_key_and_a_reader_are_told_apart() -> None:
    raises("AuthenticationError", "invalid_api_key", lambda: organization("api_key").users.list())
    raises("AuthenticationError", "invalid_api_key", lambda: generate(where["owner"]))
    assert organization("reader").projects.list().data
    raises("PermissionDeniedError", "permission_denied", lambda: organization("reader").projects.create(name="no"))


@check
def users() -> None:
    people = organization().users
    [bo] = people.list(emails=["bo@example.com"])
    assert (whole(bo).role, bo.object) == ("reader", "organization.user")
    assert whole(people.retrieve(bo.id)).projects.data == []
    assert whole(people.update(bo.id, role="owner")).role == "owner"
    assert whole(people.update(bo.id, role="king")).role == "king"
    raises("BadRequestError", "invalid_value", lambda: people.update(bo.id, role="k" * 65))
    ids = [whole(each).id for each in people.list(limit=1)]
    assert len(ids) == len(set(ids)) >= 2 and bo.id in ids
    assert whole(people.delete(bo.id)).object == "organization.user.deleted"
    raises("NotFoundError", "not_found", lambda: people.retrieve(bo.id))


@check
def projects() -> None:
    projects = organization().projects
    made = whole(projects.create(name="atlas"))
    assert (made.status, made.archived_at) == ("active", None)
    raises("ConflictError", "conflict", lambda: projects.create(name="atlas"))
    raises("BadRequestError", "invalid_value", lambda: projects.create(name="x", residency="EU_STORAGE"))
    ignoring = projects.with_raw_response.create(name="x", geography="EU", external_key_id=None)
    assert ignoring.headers["x-imagegate-ignored"] == "geography"
    assert whole(projects.update(made.id, name="atlas 2")).name == "atlas 2"
    assert whole(projects.retrieve(made.id)).name == "atlas 2"
    assert made.id in [whole(each).id for each in projects.list(limit=1)]
    assert whole(projects.archive(made.id)).status == "archived"
    assert made.id not in [each.id for each in projects.list()]
    assert made.id in [each.id for each in projects.list(include_archived=True)]


@check
def project_users() -> None:
    project = organization().projects.create(name="with people")
    users = organization().projects.users
    added = whole(users.create(project.id, role="member", email="lin@example.com"))
    assert whole(users.retrieve(added.id, project_id=project.id)).name == "lin"
    assert whole(users.update(added.id, project_id=project.id, role="owner")).role == "owner"
    assert [whole(each).id for each in users.list(project.id)] == [added.id]
    assert whole(users.delete(added.id, project_id=project.id)).deleted is True
    assert list(users.list(project.id)) == []


@check
def service_accounts_and_their_keys() -> None:
    project = organization().projects.create(name="with machines")
    accounts, keys = organization().projects.service_accounts, organization().projects.api_keys
    made = whole(accounts.create(project.id, name="ci"))
    assert generate(made.api_key.value).data
    assert whole(accounts.retrieve(made.id, project_id=project.id)).role == "member"
    assert whole(accounts.update(made.id, project_id=project.id, name="cd", role="owner")).name == "cd"
    second = whole(accounts.api_keys.create(made.id, project_id=project.id, name="second"))
    assert generate(second.value).data
    assert [whole(each).name for each in accounts.list(project.id)] == ["cd"]
    owners = {whole(key).owner.service_account.name for key in keys.list(project.id, limit=1)}
    assert owners == {"cd"}
    assert whole(keys.retrieve(second.id, project_id=project.id)).last_used_at is not None
    assert whole(keys.update(second.id, project_id=project.id, expires_in_seconds=60)).expires_at
    assert whole(keys.delete(second.id, project_id=project.id)).deleted is True
    alone = whole(accounts.create(project.id, name="alone", create_service_account_only=True))
    assert (alone.role, alone.api_key) == ("none", None)
    assert whole(accounts.delete(made.id, project_id=project.id)).deleted is True
    assert list(keys.list(project.id, owner_project_access="any")) == []


@check
def our_own_paths_are_reached_through_the_sdks_raw_calls() -> None:
    client = openai.OpenAI(admin_api_key=where["owner"], base_url=f"{where['url']}/v1")
    options = {"security": {"admin_api_key_auth": True}}
    keys = f"/organization/projects/{where['project_id']}/api_keys"
    lin = next(iter(client.admin.organization.users.list(emails=["lin@example.com"])))
    limits = [{"unit": "images", "interval": "day", "amount": 1}]
    key = client.post(keys, body={"user_id": lin.id, "limits": limits}, cast_to=object, options=options)
    assert generate(key["value"]).data
    raises("RateLimitError", "insufficient_quota", lambda: generate(key["value"]))
    rotated = client.post(f"{keys}/{key['id']}/rotate", body={"leaked": True}, cast_to=object, options=options)
    assert rotated["id"] == key["id"]


@check
def audit_logs() -> None:
    project = organization().projects.create(name="watched")
    organization().projects.update(project.id, name="watched 2")
    logs = organization().audit_logs
    found = [whole(each) for each in logs.list(project_ids=[project.id], limit=1)]
    assert [each.type for each in found] == ["project.updated", "project.created"]
    assert found[0].project_updated.id == project.id and found[0].project.name == "watched 2"
    assert found[0].actor.type == "api_key" and found[0].actor.api_key.id
    [made] = logs.list(event_types=["project.created"], resource_ids=[project.id])
    assert made.id == found[1].id
    after = {"gt": made.effective_at + 3600}
    assert list(logs.list(effective_at=after)) == []


@check
def invites() -> None:
    made = organization().invites.create(email="Nils@example.com", role="reader")
    assert (made.email, made.role, made.status) == ("nils@example.com", "reader", "pending")
    assert made.id in [each.id for each in organization().invites.list()]
    assert organization().invites.retrieve(made.id).id == made.id
    assert organization().invites.delete(made.id).deleted


@check
def what_openai_has_and_we_lack_is_an_unknown_url() -> None:
    for call in (organization().certificates.list, organization().groups.list):
        raises("NotFoundError", "unknown_url", call)


def outcomes() -> Iterator[dict[str, str | None]]:
    for function in CHECKS:
        failure = None
        try:
            function()
        except Exception:
            failure = traceback.format_exc()
        yield {"name": function.__name__, "failure": failure}


if __name__ == "__main__":
    where.update(json.load(sys.stdin))
    for outcome in outcomes():
        print(json.dumps(outcome), flush=True)
