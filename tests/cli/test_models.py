"""imagegate models."""

from tests.cli.conftest import Cli


def test_the_catalog_is_listed_with_what_a_project_may_use(cli: Cli) -> None:
    plain = cli("models list --json").json["data"]
    cli("models deny gpt-image-1 --project default")
    of_project = cli("models list --project default --json").json["data"]

    assert {row["id"]: row["priced"] for row in plain}["imagen4"] is False
    assert {row["id"] for row in of_project if not row["allowed"]} == {"gpt-image-1"}
    assert plain[0]["allowed"] is None
    assert "allowed" not in cli("models list").out


def test_allow_deny_and_all_replace_what_held_before(cli: Cli) -> None:
    allowed = cli("models allow gpt-image-1 seedream-3.0 --project default --json").json
    denied = cli("models deny imagen4 --project default --json").json
    every = cli("models allow --all --project default --json").json

    found = [(each["mode"], each["model_ids"]) for each in (allowed, denied, every)]
    assert found == [("allow_list", ["gpt-image-1", "seedream-3.0"]), ("deny_list", ["imagen4"]), ("deny_list", [])]


def test_allow_says_that_every_other_model_is_refused_and_how_to_undo_it(cli: Cli) -> None:
    said = cli("models allow gpt-image-1 --project default").err

    assert "Every other model is refused" in said
    assert "imagegate models allow --all --project default" in said
    assert "may use every model again" in cli("models allow --all --project default").err


def test_what_cannot_be_is_refused(cli: Cli) -> None:
    assert cli("models allow nope --project default --json", code=2).error["param"] == "model_ids"
    assert cli("models allow gpt-image-1 --project nope --json", code=3).error["code"] == "not_found"
    for line in ("allow", "deny", "allow --all gpt-image-1"):
        assert cli(f"models {line} --project default --json", code=2).error["param"] == "models"
