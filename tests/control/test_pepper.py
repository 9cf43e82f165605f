"""The pepper: made once, refused when it is no secret."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.control.pepper import fingerprint, load_pepper, make_private, make_private_folder
from app.errors import ConfigurationError
from app.settings import Settings, read_settings

GOOD = "9f1c5b7a0e3d48269f1c5b7a0e3d4826"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMAGEGATE_SECRET_KEY", raising=False)
    return read_settings(data_dir=tmp_path / "data")


def test_a_pepper_is_made_once_and_only_the_owner_may_read_it(settings: Settings) -> None:
    first, second = load_pepper(settings), load_pepper(settings)

    file = settings.data_dir / "secret_key"
    assert first == second == file.read_text().strip().encode()
    assert len(first) == 64
    assert (file.stat().st_mode & 0o777, settings.data_dir.stat().st_mode & 0o777) == (0o600, 0o700)


def test_folders_made_above_a_private_one_are_private_too(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "data" / "sandbox")

    assert [(tmp_path / folder).stat().st_mode & 0o777 for folder in ("data", "data/sandbox")] == [0o700, 0o700]


def test_many_who_make_it_at_once_get_the_same_one_and_leave_nothing_else(settings: Settings) -> None:
    with ThreadPoolExecutor(16) as pool:
        peppers = set(pool.map(lambda _: load_pepper(settings), range(64)))

    assert len(peppers) == 1
    assert [path.name for path in settings.data_dir.iterdir()] == ["secret_key"]


def test_the_setting_comes_before_the_file(settings: Settings) -> None:
    load_pepper(settings)

    assert load_pepper(read_settings(data_dir=settings.data_dir, secret_key=GOOD)) == GOOD.encode()


@pytest.mark.parametrize(
    "secret",
    [
        "tiny",
        GOOD[:31],
        "changeme",
        "changeme" * 5,
        "please-ChangeMe-0123456789abcdefghij",
        "x" * 64,
        "0101010101" * 4,
        "replace-this-with-32-random-characters",
    ],
)
def test_what_is_no_secret_is_refused_with_the_cure(settings: Settings, secret: str) -> None:
    with pytest.raises(ConfigurationError, match=r"IMAGEGATE_SECRET_KEY is .*secrets\.token_hex") as refused:
        load_pepper(read_settings(data_dir=settings.data_dir, secret_key=secret))

    assert secret not in str(refused.value)


def test_a_file_that_was_emptied_is_refused_and_not_made_anew(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "secret_key").write_text("")

    with pytest.raises(ConfigurationError, match="shorter than 32"):
        load_pepper(settings)


def test_a_folder_that_cannot_be_made_is_told_with_a_cure(settings: Settings) -> None:
    settings.data_dir.write_text("a file in its place")

    with pytest.raises(ConfigurationError, match="IMAGEGATE_SECRET_KEY"):
        load_pepper(settings)


def test_a_fingerprint_tells_peppers_apart_and_holds_none() -> None:
    assert fingerprint(b"a" * 32) == fingerprint(b"a" * 32) != fingerprint(b"b" * 32)
    assert len(fingerprint(b"a" * 32)) == 32


def test_a_directory_and_a_book_that_others_can_read_are_made_private(tmp_path: Path) -> None:
    for name in ("imagegate.db", "imagegate.db-wal"):
        (tmp_path / name).touch(mode=0o644)
    tmp_path.chmod(0o755)

    make_private(tmp_path)

    assert [path.stat().st_mode & 0o777 for path in (tmp_path, *tmp_path.iterdir())] == [0o700, 0o600, 0o600]
