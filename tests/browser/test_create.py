"""Pictures made and edited in a real browser: the price while typing, the job until it has ended, and a mask of exact pixels."""

import base64
import hashlib
import io

import pytest
from PIL import Image
from playwright.async_api import Browser

from app.sandbox import RunningSandbox
from tests.browser.conftest import Desk, desk_of
from tests.browser.test_journeys import CHINESE, ENGLISH, sign_in
from tests.console.conftest import House

KEEP_MASK = """() => { const send = window.fetch; window.fetch = async (address, given) => {
  const mask = given?.body instanceof FormData ? given.body.get("mask") : null;
  if (mask !== null) sessionStorage.setItem("mask", String.fromCharCode(...new Uint8Array(await mask.arrayBuffer())));
  return send(address, given); } }"""
"""Remembers what the browser sends as the mask, byte by byte."""
IN_SIGHT = (
    "[document.querySelector('.job').getBoundingClientRect().top].every((top) => top >= 0 && top < innerHeight / 2)"
)
SIZE = (201, 103)


def source() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", SIZE, (30, 90, 150)).save(file, "PNG")
    return file.getvalue()


async def paint(desk: Desk) -> None:
    """Paint a short stroke in the middle of the picture."""
    canvas = desk.page.locator("canvas")
    await desk.page.wait_for_selector(f"canvas[width='{SIZE[0]}']")
    await canvas.scroll_into_view_if_needed()
    box = await canvas.bounding_box()
    assert box is not None
    await desk.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await desk.page.mouse.down()
    await desk.page.mouse.move(box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2)
    await desk.page.mouse.up()


async def make(desk: Desk) -> None:
    """Make a picture, and look at its price before and at its job after."""
    await desk.fill(prompt="a fox <b> in the snow")
    await desk.page.click("label:has([value='gpt-image-1'])")
    await desk.page.wait_for_selector("#background")
    await desk.page.select_option("#n", "4")
    await desk.page.wait_for_selector("#price .bad")  # More than the limit of the day has left.
    await desk.check()
    await desk.page.select_option("#n", "1")
    await desk.page.wait_for_selector("#price p:not(.bad)")
    await desk.page.click(".buy button")
    await desk.page.wait_for_selector(".made img")
    assert desk.page.url.endswith("#jobs")
    await desk.until(IN_SIGHT)
    await desk.page.wait_for_selector("#bought a")
    await desk.page.wait_for_selector("#price .good a")  # Bought before: open it, free.
    await desk.check()


async def look_closer(desk: Desk) -> None:
    """Open the page of the newest job, and come back."""
    await desk.page.click(".job .links a[href*='/create/jobs/'] >> nth=0")
    await desk.page.wait_for_selector(".compare img")
    await desk.page.click(".zoom summary")
    await desk.check()
    await desk.page.go_back()


@pytest.mark.parametrize(("locale", "scheme", "width"), [("en-GB", "light", 1280), ("zh-CN", "dark", 390)])
async def test_a_member_makes_a_picture_and_edits_it_with_a_mask(
    browser: Browser, house: House, relay: RunningSandbox, locale: str, scheme: str, width: int
) -> None:
    words = CHINESE if locale == "zh-CN" else ENGLISH
    await house.running.limit("user", house.users["mia"], "images", "day", 3)
    async with desk_of(browser, house.running.url, locale=locale, scheme=scheme, width=width) as desk:
        await sign_in(desk, "mia", words)
        await make(desk)
        await look_closer(desk)

        await desk.page.click("a[href*='picture=']")
        await desk.page.wait_for_selector("#mask:not([hidden])")
        await desk.check()
        await desk.page.set_input_files("#image", {"name": "a.png", "mimeType": "image/png", "buffer": b"GIF89a"})
        await desk.page.wait_for_selector("#source [role=alert]:not([hidden])")
        await desk.page.set_input_files("#image", {"name": "a.png", "mimeType": "image/png", "buffer": source()})
        await paint(desk)
        await desk.fill(prompt="make it snow")
        await desk.page.evaluate(KEEP_MASK)
        await desk.page.click(".buy button")
        await desk.page.wait_for_url("**/create/edit?*job=*#jobs")
        await desk.page.wait_for_selector(".job:first-of-type .made img")
        await desk.page.wait_for_selector("#choices label:nth-child(2)")  # The new picture, offered at once.
        assert await desk.page.locator("#choices :checked").count() == 1
        await desk.check()
        letters = await desk.page.evaluate("btoa(sessionStorage.getItem('mask'))")

    sent = base64.b64decode(letters)
    files = [(file.field, file.sha256) for file in relay.sandbox.seen[-1].files]
    assert ("mask", hashlib.sha256(sent).hexdigest()) in files
    images = [digest for field, digest in files if field.startswith("image")]
    assert images[0] == hashlib.sha256(source()).hexdigest() and len(images) == 2  # And the picture as a reference.
    mask = Image.open(io.BytesIO(sent))
    alpha = mask.getchannel("A")
    assert (mask.size, alpha.getpixel((0, 0)), alpha.getpixel((SIZE[0] // 2, SIZE[1] // 2))) == (SIZE, 255, 0)
    rows = await house.running.rows()
    assert [(row["operation"], row["state"], row["via"]) for row in rows] == [
        ("generation", "settled", "console"),
        ("edit", "settled", "console"),
    ]
