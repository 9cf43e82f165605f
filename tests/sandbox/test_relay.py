"""The contract: what a good call gets, and what the relay refuses, in either profile."""

import hashlib
import re

import pytest

from app.sandbox import RunningSandbox
from tests.sandbox.calls import KEY, PICTURE, Caller, error_of, events_of, opened

only_c = pytest.mark.parametrize("profile", ["C"], indirect=True)
only_n = pytest.mark.parametrize("profile", ["N"], indirect=True)


async def test_gpt_image_answers_the_providers_body(call: Caller) -> None:
    answer = await call.generate(n=2, size="1536x1024", quality="high")

    body = answer.json()
    assert list(body) == ["created", "background", "output_format", "quality", "size", "data", "usage"]
    assert [list(item) for item in body["data"]] == [["b64_json"], ["b64_json"]]
    assert (body["size"], body["quality"], body["usage"]["output_tokens"]) == ("1536x1024", "high", 2 * 6240)
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("fields", "size", "kind"),
    [
        ({}, (512, 512), "PNG"),
        ({"size": "1024x1536", "output_format": "webp"}, (341, 512), "WEBP"),
        ({"size": "1536x1024", "output_format": "jpeg"}, (512, 341), "JPEG"),
    ],
)
async def test_pictures_have_the_aspect_and_the_format_asked_for(
    call: Caller, fields: dict[str, str], size: tuple[int, int], kind: str
) -> None:
    answer = await call.generate(**fields)

    picture = opened(answer.json()["data"][0]["b64_json"])
    assert (picture.size, picture.format) == (size, kind)


async def test_seedream_answers_an_address_that_holds_a_jpeg(call: Caller) -> None:
    body = (await call.generate(model="seedream-3.0", size="1664x936")).json()

    file = await call.client.get(body["data"][0]["url"])
    assert file.headers["content-type"] == "image/jpeg"
    assert file.content.startswith(b"\xff\xd8")
    assert body["usage"]["generated_images"] == 1


async def test_seedream_answers_base64_on_request(call: Caller) -> None:
    body = (await call.generate(model="seedream-3.0", response_format="b64_json")).json()

    assert [list(item) for item in body["data"]] == [["b64_json"]]


async def test_imagen_answers_all_three_strings_and_no_usage(call: Caller) -> None:
    body = (await call.generate(model="imagen4")).json()

    assert list(body) == ["data", "created"]
    assert body["data"][0] | {"b64_json": ""} == {"url": "", "b64_json": "", "revised_prompt": ""}


async def test_flux_edits_have_no_created(call: Caller) -> None:
    body = (await call.edit("image[]", model="flux-kontext-pro", seed="7")).json()

    assert list(body) == ["data"]


async def test_gpt_image_refuses_response_format_as_openai_does(call: Caller, running: RunningSandbox) -> None:
    answer = await call.generate(response_format="b64_json")

    error = error_of(answer)
    assert answer.status_code == 400
    assert (error["param"], error["code"]) == ("response_format", "unknown_parameter")
    assert error["message"].startswith("Unknown parameter: 'response_format'.")
    assert running.sandbox.bill == []


async def test_unknown_fields_of_a_generation_are_dropped_silently(call: Caller) -> None:
    assert (await call.generate(seed=7, aspect_ratio="16:9")).status_code == 200


@pytest.mark.parametrize(
    ("header", "c", "n"),
    [
        ({"Authorization": ""}, "未提供令牌", "无效的令牌"),
        ({"Authorization": "Bearer sk-other"}, "无效的令牌", "无效的令牌"),
    ],
)
async def test_a_wrong_key_is_refused_in_the_profiles_words(
    call: Caller, profile: str, header: dict[str, str], c: str, n: str
) -> None:
    answer = await call.client.post("/v1/images/generations", json={"prompt": "x"}, headers=header)

    error = error_of(answer)
    assert answer.status_code == 401
    assert error["message"].startswith(c if profile == "C" else n)
    assert list(error) == (["message", "type"] if profile == "C" else ["message", "type", "code"])


async def test_a_key_that_chooses_a_channel_is_forbidden(call: Caller) -> None:
    answer = await call.client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}-12"})

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("fields", "c", "n"),
    [
        ({"model": "nope"}, (503, None), (503, "model_not_found")),
        ({"model": ""}, (503, None), (503, "model_not_found")),
        ({"prompt": ""}, (400, "invalid_image_request"), (400, "missing_required_parameter")),
        ({"n": "two"}, (400, "invalid_image_request"), (500, "invalid_request")),
        ({"n": 129}, (400, "invalid_value"), (500, "invalid_request")),
        ({"n": 11}, (400, "integer_above_max_value"), (400, "integer_above_max_value")),
        ({"size": "1024×1024"}, (400, "invalid_image_request"), (500, "invalid_request")),
        ({"size": "17x17"}, (400, "invalid_value"), (400, "invalid_value")),
        ({"size": 1024}, (400, "invalid_image_request"), (500, "invalid_request")),
    ],
)
async def test_bad_requests_are_refused_and_not_billed(
    call: Caller, running: RunningSandbox, profile: str, fields: dict[str, object], c: tuple, n: tuple
) -> None:
    answer = await call.generate(**fields)  # type: ignore[arg-type]

    assert (answer.status_code, error_of(answer).get("code")) == (c if profile == "C" else n)
    assert running.sandbox.bill == []


async def test_broken_json_is_the_gates_400(call: Caller) -> None:
    answer = await call.client.post("/v1/images/generations", content=b'{"model": ')

    assert answer.status_code == 400
    assert error_of(answer)["type"] == "new_api_error"


@only_c
async def test_c_edits_without_a_model_work_and_json_edits_do_not(call: Caller) -> None:
    without_model = await call.edit("image")
    as_json = await call.client.post("/v1/images/edits", json={"model": "gpt-image-1", "prompt": "x"})

    assert without_model.status_code == 200
    assert (as_json.status_code, error_of(as_json)["code"]) == (400, "invalid_image_request")


@only_n
async def test_n_takes_json_edits_and_wants_a_model_for_multipart(call: Caller) -> None:
    without_model = await call.edit("image")
    document = {"model": "gpt-image-1", "prompt": "x", "images": [{"image_url": "data:image/png;base64,AAAA"}]}
    as_json = await call.client.post("/v1/images/edits", json=document)

    assert (without_model.status_code, error_of(without_model)["code"]) == (400, "")
    assert as_json.status_code == 200


async def test_edits_need_a_picture(call: Caller) -> None:
    answer = await call.edit("mask", model="gpt-image-1")

    assert (answer.status_code, error_of(answer)["code"]) == (500, "convert_request_failed")


async def test_every_spelling_of_image_arrives(call: Caller, running: RunningSandbox) -> None:
    for names in (["image"], ["image", "image"], ["image[]", "image[]"], ["image[0]", "image[1]", "mask"]):
        answer = await call.edit(*names, model="gpt-image-1", quality="low")

        assert answer.status_code == 200
        seen = running.sandbox.seen[-1]
        assert [file.field for file in seen.files] == names
        assert seen.files[0].sha256 == hashlib.sha256(PICTURE).hexdigest()
        assert seen.fields == {"prompt": "a hat", "model": "gpt-image-1", "quality": "low"}


async def test_variations_are_never_made(call: Caller, profile: str) -> None:
    form = await call.client.post(
        "/v1/images/variations", files={"image": ("a.png", PICTURE)}, data={"model": "imagen4"}
    )
    document = await call.client.post("/v1/images/variations", json={"model": "gpt-image-1"})

    assert form.status_code == (503 if profile == "C" else 400)
    assert (document.status_code, error_of(document)["code"]) == (501, "api_not_implemented")


@only_c
async def test_c_answers_json_to_a_stream(call: Caller) -> None:
    answer = await call.generate(stream=True)

    assert answer.headers["content-type"].startswith("application/json")


@only_n
async def test_n_streams_partials_then_completed_then_done(call: Caller) -> None:
    answer = await call.generate(stream=True, partial_images=2)

    assert answer.headers["content-type"] == "text/event-stream"
    assert events_of(answer.text) == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert answer.text.endswith("data: [DONE]\n\n")


@only_n
async def test_n_makes_completed_events_of_a_plain_answer(call: Caller) -> None:
    answer = await call.generate(model="imagen4", stream=True, n=2)

    assert events_of(answer.text) == ["image_generation.completed"] * 2


async def test_every_answer_carries_the_relays_request_id(call: Caller, running: RunningSandbox, profile: str) -> None:
    answer = await call.generate(model="nope")

    id_ = answer.headers["x-oneapi-request-id"]
    assert re.fullmatch(r"\d{23}[A-Za-z0-9]{8}", id_)
    assert id_ in error_of(answer)["message"]
    assert running.sandbox.seen[-1].request_id == id_
    assert ("x-new-api-version" in answer.headers) == (profile == "N")


async def test_unknown_api_paths_are_json_and_all_else_is_the_console(call: Caller) -> None:
    for method, path in (("POST", "/v1/x"), ("GET", "/v1/images/generations"), ("GET", "/api/nothing")):
        answer = await call.client.request(method, path)

        assert (answer.status_code, error_of(answer)["message"]) == (404, f"Invalid URL ({method} {path})")
    for path in ("/", "/images/generations"):
        page = await call.client.get(path)

        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
