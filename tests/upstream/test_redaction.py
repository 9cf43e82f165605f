import pytest

from app.upstream import redaction
from app.upstream.client import HttpUpstream
from app.upstream.redaction import clean_message, hide_secret


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("prompt is required (request id: 20250425144835174044863D5lbubkO)", "prompt is required"),
        ("提示词违规（request id: 20250425144835174044863D5lbubkO）", "提示词违规"),
        ("Retry, or contact us at help.openai.com with request ID req_0a1b2c3d4e.", "Retry, or contact us at with"),
        ("see https://***.com/*** for more", "see for more"),
        ("请访问api.whatai.cc获取密钥sk-abcDEF123456，谢谢", "请访问 获取密钥，谢谢"),
        ("[sk-abc***xyz] 该令牌额度已用尽", "该令牌额度已用尽"),
        ("dial tcp 10.0.0.7:3000: refused by gw.internal:8080/v1", "dial tcp: refused by"),
        ("Authorization: Bearer abc.def-ghi rejected", "Authorization: rejected"),
        ("line\r\n\x1b[31mred\x00", "line [31mred"),
        ("Unknown parameter: 'image[0]'. Use gpt-image-1.5 or image.png, e.g. 1024x1024.", None),
        ("Your request was rejected by the safety system.In short: no.", None),
        ("安全系统拒绝了请求：safety_violations=[sexual]", None),
    ],
)
def test_nothing_that_names_the_relay_is_left(told: str, shown: str | None) -> None:
    assert clean_message(told) == (told if shown is None else shown)


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("correct-horse battery", "key correct-horse battery is wrong"),
        ("my.secret.host-9f8e7d6c", "key my.secret.host-9f8e7d6c is wrong"),
        ("sk-Zx81mbTfq0-7", "key Zx81mbTfq0-7 is wrong"),
        ("sk-Yw92ncUgr1-7", "key Yw92ncUgr1 is wrong"),
        ("p@ss/w0rd+x", "key p%40ss%2Fw0rd%2Bx is wrong"),
        ("Qv" * 1500, f"key {'Qv' * 1500} is wrong"),
    ],
)
def test_a_configured_key_is_taken_out_whatever_it_looks_like(
    monkeypatch: pytest.MonkeyPatch, secret: str, told: str
) -> None:
    monkeypatch.setattr(redaction, "_hidden", set())
    before = clean_message(told)

    hide_secret(secret)

    assert clean_message(told) == "key is wrong" != before


async def test_the_key_of_the_relay_and_the_password_of_the_proxy_are_taken_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redaction, "_hidden", set())

    await HttpUpstream("http://127.0.0.1:1", "odd.relay/key", proxy="http://me:horse-staple@127.0.0.1:2").close()

    assert clean_message("The key odd.relay/key or horse-staple is wrong.") == "The key or is wrong."


def test_a_message_is_bounded() -> None:
    assert len(clean_message("a. " * 100_000)) <= 500
    assert len(clean_message("a.b" * 100_000)) <= 500


def test_cleaning_twice_changes_nothing() -> None:
    once = clean_message("x (request id: 20250425144835174044863D5lbubkO) at https://a.com/b y [sk-abcd]")

    assert clean_message(once) == once
