"""imagegate models."""

from tests.cli.conftest import Cli


def test_the_catalog_is_listed_with_what_a_project_may_use(cli: Cli) -> None:
    plain = cli("models list --json").json["data"]
    cli("models deny gpt-image-1 --project default")
    of_project = cli("models list --project default --json").json["data"]

    assert {row["model"]: row["priced"] for row in plain}["imagen4"] is False
    assert {row["model"] for row in of_project if not row["allowed"]} == {"gpt-image-1"}
    assert "allowed" not in plain[0]


def test_allow_deny_and_all_replace_what_held_before(cli: Cli) -> None:

    allowed = cli("models allow gpt-image-1 seedream-3.0 --project default --json").json
    denied = cli("models deny imagen4 --project default --json").json
    every = cli("models allow --all --project default --json").json

    assert allowed == {"project": "default", "mode": "allow_list", "models": ["gpt-image-1", "seedream-3.0"]}
    assert denied == {"project": "default", "mode": "deny_list", "models": ["imagen4"]}
    assert every == {"project": "default", "mode": None, "models": []}


def test_what_cannot_be_is_refused(cli: Cli) -> None:

    assert cli("models allow nope --project default --json", code=2).error["param"] == "model_ids"
    assert cli("models allow gpt-image-1 --project nope --json", code=3).error["code"] == "not_found"
    for line in ("allow", "deny", "allow --all gpt-image-1"):
        assert cli(f"models {line} --project default --json", code=2).error["param"] == "models"
