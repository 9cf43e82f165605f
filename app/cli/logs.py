"""Logging to stderr: for a person at a terminal, else as logfmt or JSON. Secrets are redacted here in all log lines."""

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog

_SECRETS = re.compile(r"sk-[A-Za-z0-9_-]{8,}|(?i:bearer)\s+\S+|://[^/\s:@]+:[^/\s@]+@")
_JSON = json.JSONEncoder(default=repr)
_SECRET_FIELDS = frozenset(
    {"authorization", "api_key", "secret", "secret_key", "password", "prompt", "b64_json", "image"}
)


def set_up_logs(*, as_json: bool) -> None:
    """Configure logging of the process. Loggers of the standard library (uvicorn's, asyncio's) get the same format."""
    output: Any = _Output(sys.stderr)
    renderer: Any = _json_line if as_json else _text_renderer()
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    # Tracebacks are formatted before redaction, and without local variables, which can hold secrets.
    final: list[Any] = [structlog.processors.format_exc_info, redact, renderer]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final]
    )
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class _Output:
    """Output of log lines. One that cannot be written (a closed pipe or terminal, a full disk) is lost: what it tells of
    may be paid for, and goes on."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _text_renderer() -> Any:
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event"), bool_as_flag=False)


def _json_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return _JSON.encode(event)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact fields that must not be logged, and keys, passwords and control characters in all others."""
    for name in list(event):
        if name in _SECRET_FIELDS:
            event[name] = "[redacted]"
        elif isinstance(event[name], str):
            event[name] = redacted_text(event[name])
    return event


def redacted_text(text: str) -> str:
    """Redact secrets and escape control characters, so that a terminal does not execute them."""
    redacted = _SECRETS.sub("[redacted]", text)
    if redacted.isprintable():
        return redacted
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in redacted)
