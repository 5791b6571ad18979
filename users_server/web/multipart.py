"""The parts of a multipart/form-data body, one after the other, none of them whole in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from users_server.errors import MalformedFrame
from users_server.web.body import UnsupportedMediaType

MAX_HEADERS = 16
MAX_HEADER_BYTES = 4096
_NO_FORM = "The body is not valid multipart/form-data"


class FormPart:
    """One part. ``filename`` is :obj:`None` for a field that is no file."""

    def __init__(self, reader: _Reader, headers: dict[str, bytes]) -> None:
        self._reader = reader
        kind, options = parse_options_header(headers.get("content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise MalformedFrame(_NO_FORM)
        filename, content_type = options.get(b"filename"), headers.get("content-type")
        self.name = options[b"name"].decode("utf-8", "replace")
        self.filename = None if filename is None else filename.decode("utf-8", "replace")
        self.content_type = None if content_type is None else content_type.decode("latin-1")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content. Raises :class:`MalformedFrame` if the body ends before the part does."""
        while (chunk := await self._reader.read_chunk()) is not None:
            yield chunk


async def read_parts(content_type: str | None, body: AsyncIterable[bytes]) -> AsyncIterator[FormPart]:
    """
    The parts of ``body``. What is not taken of a part is passed over when the next one is asked for.

    Raises:
        UnsupportedMediaType: If ``content_type`` is no form.
        MalformedFrame: If the body is no form, or ends too early.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedMediaType("The Content-Type of the body must be multipart/form-data")
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise MalformedFrame(_NO_FORM)
    reader = _Reader(boundary, body)
    while (headers := await reader.next_headers()) is not None:
        yield FormPart(reader, headers)


class _Reader:
    """
    The parser, turned from calls into values.

    What one chunk of the body holds is kept until it is taken: chunks of parts, the headers of a part as a dictionary,
    and :obj:`None` for the end of a part.
    """

    def __init__(self, boundary: bytes, body: AsyncIterable[bytes]) -> None:
        self._body = aiter(body)
        self._found: deque[bytes | dict[str, bytes] | None] = deque()
        self._headers: dict[str, bytes] = {}
        self._name = b""
        self._value = b""
        self._is_over = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_part_data": lambda data, start, end: self._found.append(bytes(data[start:end])),
                    "on_part_end": lambda: self._found.append(None),
                    "on_header_field": self._add_name,
                    "on_header_value": self._add_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": lambda: self._found.append(self._headers),
                    "on_end": self._end,
                },
                max_header_count=MAX_HEADERS,
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError:
            raise MalformedFrame(_NO_FORM) from None

    async def next_headers(self) -> dict[str, bytes] | None:
        """Of the next part; :obj:`None` after the last one."""
        while True:
            while self._found:
                item = self._found.popleft()
                if isinstance(item, dict):
                    return item
            if not await self._feed():
                if not self._is_over:
                    raise MalformedFrame(_NO_FORM)
                return None

    async def read_chunk(self) -> bytes | None:
        """Of the present part; :obj:`None` at its end."""
        while not self._found:
            if not await self._feed():
                raise MalformedFrame(_NO_FORM)
        item = self._found.popleft()
        return item if isinstance(item, bytes) else None

    async def _feed(self) -> bool:
        chunk = await anext(self._body, None)
        if chunk is None:
            return False
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise MalformedFrame(_NO_FORM) from None
        return True

    def _begin_part(self) -> None:
        self._headers, self._name, self._value = {}, b"", b""

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value
        self._name = self._value = b""

    def _end(self) -> None:
        self._is_over = True
