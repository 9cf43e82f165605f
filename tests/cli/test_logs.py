"""Log lines: for people or machines, and never with a secret."""

import json
import subprocess
import sys

import pytest

SECRET = "sk-ig-abcdefghijkl-0123456789abcdefghijklmnopqrstuv-ABCDEF"
SCRIPT = """
import logging, sys
import structlog
from app.cli.logs import set_up_logs

set_up_logs(as_json=sys.argv[1] == "json")
log = structlog.get_logger()
secret_in_a_local = sys.argv[2]
log.info("said", authorization=secret_in_a_local, note=f"Bearer {secret_in_a_local}", url="postgresql://me:pass@host/x")
log.info("escapes", prompt="a picture", what="\\x1b[31mred\\x07")
try:
    raise ValueError(f"with {secret_in_a_local}")
except ValueError as exc:
    log.error("broke", exc_info=exc)
logging.getLogger("somebody").error("theirs %s", secret_in_a_local)
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_logged_not_even_in_a_traceback(form: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, form, SECRET], capture_output=True, text=True, check=True
    ).stderr

    assert "ValueError" in said
    assert "secret_in_a_local" not in said.replace('f"with {secret_in_a_local}"', ""), "no local variables"
    assert SECRET[6:30] not in said
    assert "pass@" not in said
    assert "a picture" not in said
    assert "\x1b[31m" not in said.split("escapes")[1].split("broke")[0]
    if form == "json":
        assert all(json.loads(line) for line in said.splitlines())
