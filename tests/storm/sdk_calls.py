"""Calls of the stock OpenAI SDK for Python, in its own environment and without the gateway's packages: `sdk_calls.py < JOBS.json`.

Reads `{"key": ..., "jobs": [{"marker", "base_url", "prompt", "timeout_s", "at_s", "format"}]}` and makes every call at its time,
the SDK's own retries and connections. Prints a JSON object a line as they end: `marker`, `seconds`, and `failure`, which is null
where a picture came.
"""

import asyncio
import base64
import importlib
import json
import sys
import time
from typing import Any

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


async def main() -> None:
    given = json.load(sys.stdin)
    openai: Any = importlib.import_module("openai")  # Not there where these files are linted.
    async with openai.AsyncOpenAI(api_key=given["key"], base_url="http://127.0.0.1:9") as client:
        start_s = time.monotonic()
        async with asyncio.TaskGroup() as calls:
            for job in given["jobs"]:
                calls.create_task(call(client, job, start_s))


async def call(client: Any, job: dict[str, Any], start_s: float) -> None:
    await asyncio.sleep(start_s + job["at_s"] - time.monotonic())
    begun_s = time.monotonic()
    one = client.with_options(base_url=job["base_url"], timeout=job["timeout_s"])
    try:
        answer = await one.images.generate(model="gpt-image-1", prompt=job["prompt"], output_format=job["format"])
        picture = base64.b64decode(answer.data[0].b64_json, validate=True)
        failure = None if picture.startswith(MAGIC) else "not a picture"
    except Exception as exc:
        failure = f"{type(exc).__name__}: {getattr(exc, 'code', None) or exc}"[:120]
    seconds = round(time.monotonic() - begun_s, 3)
    print(json.dumps({"marker": job["marker"], "seconds": seconds, "failure": failure}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
