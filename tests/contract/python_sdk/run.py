"""Runs every check with the SDK of this Python: `python -m tests.contract.python_sdk.run < WHERE.json`.

Prints a JSON object a line: `profile`, `name` and `failure`, which is null or a traceback.
"""

import base64
import gc
import importlib
import json
import sys
import traceback
from typing import Any

from tests.contract.python_sdk import catalogue
from tests.contract.python_sdk.bench import Bench


def main() -> None:
    # A stream that ended in an error is closed by the garbage collector. Where that looks while httpcore holds its pool's
    # lock, which closing takes too, it waits for itself for ever: so let it look in between.
    gc.disable()
    where = json.load(sys.stdin)
    openai: Any = importlib.import_module("openai")  # Not there where these files are linted.
    major = int(openai.VERSION.split(".")[0])
    posts: list[Any] = []

    def note(request: Any) -> None:
        if request.method == "POST":
            posts.append(request)

    gc.freeze()  # The SDK's modules stay: looking through them after each check takes longer than the check.
    with openai.DefaultHttpxClient(event_hooks={"request": [note]}) as http:
        for profile, name, entry in catalogue.entries(major):
            posts.clear()
            bench = Bench(
                openai=openai,
                http=http,
                profile=profile,
                mark=f"{name} openai{major} {profile}.",
                gateway=where["gateways"][profile],
                away=where["gateways"]["away"],
                spy=where["spy"],
                keys=where["keys"][profile],
                pictures={kind: base64.b64decode(picture) for kind, picture in where["pictures"].items()},
                posts=posts,
            )
            print(json.dumps({"profile": profile, "name": name, "failure": failure(entry.run, bench)}), flush=True)
            gc.collect()


def failure(run: Any, bench: Bench) -> str | None:
    try:
        run(bench)
    except Exception:
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    main()
