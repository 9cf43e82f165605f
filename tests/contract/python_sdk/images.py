"""Generating and editing, as people write it."""

import hashlib
import io
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from tests.contract.python_sdk.bench import FLUX, GPT, JPEG_MAGIC, PNG_MAGIC, SEEDREAM, Bench, check, picture_of, same


@check()
def a_generation_gives_a_whole_answer_with_base64(bench: Bench) -> None:
    answer = bench.generate(size="1024x1024", quality="high")

    [item] = answer.data
    assert picture_of(item).startswith(PNG_MAGIC)
    assert item.url is None
    assert type(answer.created) is int
    assert answer.created > 1_700_000_000
    usage = answer.usage
    same(usage.total_tokens, usage.input_tokens + usage.output_tokens)
    same(usage.input_tokens, usage.input_tokens_details.text_tokens + usage.input_tokens_details.image_tokens)


@check()
def a_generation_without_a_model_is_gpt_image_1(bench: Bench) -> None:
    bench.client().images.generate(prompt=bench.prompt())

    same(bench.seen_once()["fields"]["model"], GPT)


@check()
def n_of_two_gives_two_images_for_twice_the_price(bench: Bench) -> None:
    raw = bench.client().images.with_raw_response.generate(model=GPT, prompt=bench.prompt(), n=2)

    same(len(raw.parse().data), 2)
    same(raw.headers["x-imagegate-cost"], "2.00")
    same(bench.seen_once()["fields"]["n"], "2")


@check()
def response_format_url_gives_an_address_that_can_be_fetched(bench: Bench) -> None:
    answer = bench.generate(model=SEEDREAM, response_format="url")

    [item] = answer.data
    assert item.b64_json is None
    with urllib.request.urlopen(item.url) as picture:
        assert picture.read().startswith(JPEG_MAGIC)


@check()
def response_format_b64_json_gives_base64_where_the_model_would_give_an_address(bench: Bench) -> None:
    answer = bench.generate(model=SEEDREAM, response_format="b64_json")

    [item] = answer.data
    assert item.url is None
    assert picture_of(item).startswith(JPEG_MAGIC)


@check()
def response_format_is_dropped_for_a_model_that_refuses_it(bench: Bench) -> None:
    answer = bench.generate(response_format="b64_json")

    assert picture_of(answer.data[0]).startswith(PNG_MAGIC)
    assert "response_format" not in bench.seen_once()["fields"]


@check()
def empty_strings_of_the_relay_are_none_for_the_client(bench: Bench) -> None:
    [item] = bench.generate("body=empty_strings").data

    same((item.url, item.revised_prompt), (None, None))
    assert picture_of(item).startswith(PNG_MAGIC)


@check()
def fewer_images_than_asked_are_delivered(bench: Bench) -> None:
    same(len(bench.generate("body=short", n=2).data), 1)


@check()
def size_and_quality_nobody_knows_go_to_the_relay_as_they_came(bench: Bench) -> None:
    bench.generate(model=FLUX, size="1664x936", quality="ultra")

    fields = bench.seen_once()["fields"]
    same((fields["size"], fields["quality"]), ("1664x936", "ultra"))


# --- edits ----------------------------------------------------------------------------------------------------------


@check()
def an_edit_with_one_file(bench: Bench) -> None:
    _edited(bench, ("cat.png", bench.pictures["png"], "image/png"), [("image", "image-0.png", "png")])


@check()
def an_edit_with_two_files_keeps_their_order(bench: Bench) -> None:
    images = [("b.jpg", bench.pictures["jpeg"]), ("a.png", bench.pictures["png"])]
    _edited(bench, images, [("image[]", "image-0.jpg", "jpeg"), ("image[]", "image-1.png", "png")])


@check()
def an_edit_with_a_list_of_one_file(bench: Bench) -> None:
    _edited(bench, [("cat.webp", bench.pictures["webp"])], [("image", "image-0.webp", "webp")])


@check()
def an_edit_with_bytes_in_memory_needs_no_name(bench: Bench) -> None:
    _edited(bench, io.BytesIO(bench.pictures["png"]), [("image", "image-0.png", "png")])


@check()
def an_edit_with_bare_bytes(bench: Bench) -> None:
    _edited(bench, bench.pictures["jpeg"], [("image", "image-0.jpg", "jpeg")])


@check()
def an_edit_with_an_open_file(bench: Bench) -> None:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Path(file.name).write_bytes(bench.pictures["png"])
        with Path(file.name).open("rb") as opened:
            _edited(bench, opened, [("image", "image-0.png", "png")])


@check()
def an_edit_with_a_path(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "小猫 'cat'.png")
        path.write_bytes(bench.pictures["png"])
        _edited(bench, path, [("image", "image-0.png", "png")])


@check()
def an_edit_with_a_mask(bench: Bench) -> None:
    mask = ("mask.png", bench.pictures["mask"], "image/png")
    expected = [("image", "image-0.png", "png"), ("mask", "mask.png", "mask")]
    _edited(bench, ("cat.png", bench.pictures["png"]), expected, mask=mask)


@check()
def an_edit_takes_the_type_from_the_bytes_and_not_from_the_label(bench: Bench) -> None:
    _edited(bench, ("cat.png", bench.pictures["jpeg"], "image/png"), [("image", "image-0.jpg", "jpeg")])


@check()
def an_edit_that_the_relay_answers_without_created_has_one(bench: Bench) -> None:
    answer = bench.edit(model=FLUX)

    assert type(answer.created) is int
    assert answer.created > 1_700_000_000


@check()
def the_fields_of_an_edit_reach_the_relay_as_text(bench: Bench) -> None:
    bench.edit(n=2, size="1536x1024", quality="low", background="opaque", input_fidelity="high")

    fields = bench.seen_once()["fields"]
    expected = {"n": "2", "size": "1536x1024", "quality": "low", "background": "opaque", "input_fidelity": "high"}
    same({name: fields[name] for name in expected}, expected)


def _edited(bench: Bench, image: Any, expected: list[tuple[str, str, str]], **fields: Any) -> None:
    """An edit gives a picture, and the relay got these files (field, name, which of the pictures)."""
    answer = bench.edit(image, **fields)

    assert picture_of(answer.data[0]).startswith(PNG_MAGIC)
    files = [(file["field"], file["filename"], file["sha256"]) for file in bench.seen_once()["files"]]
    same(files, [(field, name, hashlib.sha256(bench.pictures[kind]).hexdigest()) for field, name, kind in expected])
