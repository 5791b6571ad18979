"""
Logs: structlog over the standard library's logging, one line an event, to standard error.

Two rules hold for every line, also for those of libraries. A value whose key names a secret is masked, and so is a
secret in a URL or a header that found its way into a text. No control character of a client's text reaches the output,
so that nobody can forge a line or move a terminal's cursor.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog

MASK = "********"
DEEPEST = 6

_SECRET_KEY = re.compile(
    r"pass(word|phrase|wd)|token|cookie|secret|authorization|credential|api[_-]?key|private[_-]?key|^key$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"""((?:pass(?:word|phrase)|token|secret|api[_-]?key|\bsid)(?:=["']?|["']\s*:\s*["'])|\bbearer\s+)[^\s"'&;,]+""",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(://[^/@\s:]*):[^/@\s]*@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TRACEBACKS = frozenset({"exception", "stack"})


def configure_logging(level: str, format: str, stream: TextIO | None = None) -> None:
    """
    Send all logs of this process to ``stream``, by default standard error.

    Args:
        level: The least important messages that are shown: debug, info, warning or error.
        format: "console" for a line for people, with colours on a terminal; "json" for an object a line.
    """
    stream = sys.stderr if stream is None else stream
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
        safe,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(format, stream)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # its lines hold the request's whole URI, and so a socket's ?token=
    logging.getLogger("tornado.access").disabled = True
    # it warns of every form that a client has got wrong, and the client is told already
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    # its lines for debugging hold what it signs, and in that the token of a session
    logging.getLogger("botocore").setLevel(max(logging.INFO, root.level))


def _renderer(format: str, stream: TextIO) -> structlog.typing.Processor:
    if format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)


def safe(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A structlog processor: ``event`` with secrets masked and control characters written out."""
    return {clean(str(key)): _safe_value(str(key), value) for key, value in event.items()}


def _safe_value(key: str, value: Any, depth: int = 0) -> Any:
    if key.startswith("_"):
        return value
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_KEY.search(key) and value:
        return MASK
    if depth < DEEPEST and isinstance(value, Mapping):
        return {clean(str(name)): _safe_value(str(name), inner, depth + 1) for name, inner in value.items()}
    if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_safe_value("", inner, depth + 1) for inner in value]
    text = mask(value if isinstance(value, str) else repr(value))
    if depth == 0 and key in _TRACEBACKS:
        # lines of a traceback may be many; each begins with a bar, so that none looks like a line of the log
        return "\n".join(f"| {clean(line)}" for line in text.split("\n"))
    return clean(text)


def mask(text: str) -> str:
    """``text`` with whatever looks like a secret masked: ``token=…``, ``Bearer …``, the password of a URL."""
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", _SECRET_TEXT.sub(rf"\1{MASK}", text))


def clean(text: str) -> str:
    """``text`` with control characters, line separators and text-direction marks written as escapes."""
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
