"""Warnings about names."""

from tests.cli.conftest import Cli


def test_a_name_that_mixes_alphabets_is_taken_with_a_warning(cli: Cli) -> None:
    fake = "l\u0456n"
    for line in ("users create", "projects create", "keys create --user lin --name"):
        assert "warning: The word 'l\u0456n' in the name mixes Latin and Cyrillic" in cli(line, fake).err, line
    (cli.folder / "people.csv").write_text(f"name,mail,project,role,limits\n{fake}2,,,,\n", encoding="utf-8")

    looked = cli("users import people.csv --dry-run")
    listed = [user for user in cli("users list --json").json["data"] if "name_warning" in user]

    assert "U+0456" in looked.err
    assert [user["name"] for user in listed] == [fake]
    assert "warning" not in cli("users create bo").err
