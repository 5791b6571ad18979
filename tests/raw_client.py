"""
A blocking WebSocket client that may break every rule.

Frames are built by hand, so that a test can send what no library would. Every read has a timeout, and what the server
sends is checked against RFC 6455 on the way in: unmasked, minimal lengths, no reserved bit that was not negotiated.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

DEFAULT_TIMEOUT_SECONDS = 10.0
MASK = b"\x37\xfa\x21\x3d"
ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Silence(AssertionError):
    """The server said nothing in time."""


class Gone(AssertionError):
    """The connection ended where the test expected more."""


@dataclass(frozen=True)
class Frame:
    """One frame as it came, or as it shall look. ``reserved`` holds the three bits RSV1 RSV2 RSV3, RSV1 being 4."""

    opcode: int
    payload: bytes = b""
    is_final: bool = True
    reserved: int = 0


@dataclass(frozen=True)
class Response:
    """The answer to a handshake. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def masked(payload: bytes, key: bytes) -> bytes:
    """XOR ``payload`` with the repeated ``key``."""
    length = len(payload)
    keys = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(length, "big")


def build_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    is_final: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    length_bits: int | None = None,
    declared: int | None = None,
) -> bytes:
    """
    Build one frame, sound or broken.

    Args:
        mask: The masking key; :obj:`None` leaves the frame unmasked, which a client must not.
        length_bits: 7, 16 or 64: the form of the length, by default the shortest.
        declared: The length to write, by default that of ``payload``.
    """
    length = len(payload) if declared is None else declared
    if length_bits is None:
        length_bits = 7 if length < 126 else 16 if length < 65536 else 64
    head = bytes([is_final << 7 | reserved << 4 | opcode])
    is_masked = 0x80 if mask is not None else 0
    if length_bits == 7:
        head += bytes([is_masked | length])
    elif length_bits == 16:
        head += bytes([is_masked | 126]) + struct.pack("!H", length)
    else:
        head += bytes([is_masked | 127]) + struct.pack("!Q", length)
    return head + payload if mask is None else head + mask + masked(payload, mask)


def build_close(code: int | None = 1000, reason: str | bytes = b"") -> bytes:
    """A close frame; ``code`` :obj:`None` makes an empty one."""
    reason = reason.encode() if isinstance(reason, str) else reason
    return build_frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def build_fragments(opcode: int, parts: Iterable[bytes], **options: Any) -> bytes:
    """One message in as many frames as there are ``parts``."""
    listed = list(parts)
    frames = [
        build_frame(CONTINUATION if index else opcode, part, is_final=index == len(listed) - 1, **options)
        for index, part in enumerate(listed)
    ]
    return b"".join(frames)


def chopped(data: bytes, size: int) -> Iterator[bytes]:
    """``data`` in pieces of ``size`` bytes."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


class RawClient:
    """
    One socket to the server. Close it, or use it as a context manager.

    Args:
        address: Host and port.
        tls: The context to speak TLS with; :obj:`None` for plain TCP.
        source: The local address to come from.
        receive_buffer: The kernel's receive buffer in bytes; small for a client that shall be slow.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        source: str | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.host, self.port = address
        self.timeout = timeout
        self.has_compression = False
        self._buffer = bytearray()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            if receive_buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(timeout)
            if source:
                raw.bind((source, 0))
            raw.connect(("127.0.0.1" if self.host == "localhost" else self.host, self.port))
            self.socket: socket.socket = tls.wrap_socket(raw, server_hostname="localhost") if tls else raw
        except BaseException:
            raw.close()
            raise

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection without a closing handshake."""
        self.socket.close()

    # Writing

    def send(self, data: bytes, *, chop: int | None = None) -> None:
        """Send ``data``, in writes of ``chop`` bytes if given. Bytes that a gone server does not take are lost."""
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            for piece in chopped(data, chop) if chop else (data,):
                self.socket.sendall(piece)

    def send_frame(self, opcode: int, payload: bytes = b"", **options: Any) -> None:
        """See :func:`build_frame`."""
        self.send(build_frame(opcode, payload, **options))

    def send_text(self, text: str | bytes) -> None:
        self.send_frame(TEXT, text.encode() if isinstance(text, str) else text)

    def send_event(self, **event: Any) -> None:
        """Send one JSON object in a text frame."""
        self.send_text(json.dumps(event))

    def end_input(self) -> None:
        """Tell the server that nothing more will come; reading goes on, of raw bytes under TLS."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    # The handshake

    def send_request(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Mapping[str, str | None] | None = None,
        version: str = "HTTP/1.1",
        trailing: bytes = b"",
    ) -> str:
        """
        Send an upgrade request; the key that is in it.

        A header of :obj:`None` is left out; ``trailing`` goes in the same write.
        """
        key = base64.b64encode(os.urandom(16)).decode()
        fields: dict[str, str | None] = {
            "Host": f"{self.host}:{self.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            **(headers or {}),
        }
        lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
        self.send("\r\n".join([f"{method} {path} {version}", *lines, "", ""]).encode("latin-1") + trailing)
        return key

    def request(self, path: str = "/", *, method: str = "GET", **options: Any) -> Response:
        """Send an upgrade request as :meth:`send_request` does, and read the answer without a look at it."""
        self.send_request(path, method=method, **options)
        return self.read_response(has_body=method != "HEAD")

    def handshake(
        self, path: str = "/", *, headers: Mapping[str, str | None] | None = None, trailing: bytes = b""
    ) -> Response:
        """Upgrade, and check the whole answer (RFC 6455, 4.1)."""
        key = self.send_request(path, headers=headers, trailing=trailing)
        response = self.read_response()
        assert response.status == 101, f"the handshake was answered with {response}"
        assert response.headers["upgrade"].lower() == "websocket"
        assert "upgrade" in response.headers["connection"].lower()
        digest = hashlib.sha1((key + ACCEPT_GUID).encode()).digest()
        assert response.headers["sec-websocket-accept"] == base64.b64encode(digest).decode()
        self.has_compression = "permessage-deflate" in response.headers.get("sec-websocket-extensions", "")
        return response

    def read_response(self, *, has_body: bool = True) -> Response:
        """Read one HTTP answer. Only a body of known length is read."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer[:] = rest
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(status_line.split(" ")[1])
        body = self._take(int(headers.get("content-length", "0"))) if has_body and status != 101 else b""
        return Response(status, headers, body)

    # Reading

    def _fill(self, timeout: float | None = None) -> None:
        self.socket.settimeout(self.timeout if timeout is None else timeout)
        try:
            data = self.socket.recv(262_144)
        except (TimeoutError, ssl.SSLWantReadError) as error:
            raise Silence(f"nothing came, after {bytes(self._buffer[:200])!r}") from error
        except (ConnectionResetError, ssl.SSLError) as error:
            raise Gone(f"the connection broke ({error}), after {bytes(self._buffer[:200])!r}") from error
        if not data:
            raise Gone(f"the connection ended, after {bytes(self._buffer[:200])!r}")
        self._buffer += data

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def read_frame(self) -> Frame:
        """The next frame, checked for what a server must keep to."""
        first, second = self._take(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
            assert length > 125, "the server's length is not minimal"
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
            assert length > 65535, "the server's length is not minimal"
        assert not second & 0x80, "the server's frame is masked"
        frame = Frame(first & 0x0F, self._take(length), bool(first & 0x80), first >> 4 & 7)
        assert frame.reserved in ((0, 4) if self.has_compression else (0,)), frame
        assert frame.opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), frame
        if frame.opcode >= CLOSE:
            assert frame.is_final, frame
            assert len(frame.payload) <= 125, frame
        return frame

    def read_message(self, *, answers_pings: bool = True) -> Frame:
        """The next data message as one frame. Pings on the way are answered; a close frame fails the test."""
        opcode, parts, reserved = None, [], 0
        while True:
            frame = self.read_frame()
            if frame.opcode == PING and answers_pings:
                self.send_frame(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                raise Gone(f"the server closed: {self.parse_close(frame)}")
            elif frame.opcode < CLOSE:
                assert (frame.opcode == CONTINUATION) == (opcode is not None), frame
                opcode, reserved = (frame.opcode, frame.reserved) if opcode is None else (opcode, reserved)
                parts.append(frame.payload)
                if frame.is_final:
                    return Frame(opcode, b"".join(parts), True, reserved)

    def read_event(self) -> dict[str, Any]:
        """The next message, which must be a JSON object in a text frame."""
        message = self.read_message()
        assert message.opcode == TEXT, message
        event = json.loads(message.payload)
        assert isinstance(event, dict), event
        return event

    def ask(self, **event: Any) -> dict[str, Any]:
        """Send an event and return the one that comes next."""
        self.send_event(**event)
        return self.read_event()

    def events_until_echo(self, mark: str) -> list[dict[str, Any]]:
        """Broadcast an echo of ``mark`` and return all that came before it: what the server had sent until now."""
        self.send_event(eventType=10, message=mark, broadcast=True)
        events: list[dict[str, Any]] = []
        while True:
            event = self.read_event()
            if event.get("eventType") == 10 and event.get("message") == mark:
                return events
            events.append(event)

    # The end

    @staticmethod
    def parse_close(frame: Frame) -> tuple[int | None, str]:
        """Code and reason of a close frame."""
        assert frame.opcode == CLOSE, f"expected a close frame, got {frame}"
        if not frame.payload:
            return None, ""
        (code,) = struct.unpack("!H", frame.payload[:2])
        return code, frame.payload[2:].decode()

    def read_close(self) -> tuple[int | None, str]:
        """The next frame must be a close; answer it and see the server hang up. Returns code and reason."""
        code, reason = self.parse_close(self.read_frame())
        self.send(build_close(code))
        self.read_end()
        return code, reason

    def expect_close(self, code: int) -> str:
        """The server must close with ``code`` now; returns the reason."""
        found, reason = self.read_close()
        assert found == code, f"expected close {code}, got {found} {reason!r}"
        return reason

    def finish(self) -> None:
        """Close from this side; the server must answer with the same code and hang up."""
        self.send(build_close(1000))
        assert self.read_close()[0] == 1000

    def read_end(self) -> None:
        """The server must hang up without another frame."""
        with suppress(Gone):
            if not self._buffer:
                self._fill()
        assert not self._buffer, f"bytes came after the close frame: {bytes(self._buffer[:200])!r}"

    def drain(self) -> None:
        """Drop what comes until the server hangs up, which it must do in twice the client's timeout."""
        deadline = time.monotonic() + 2 * self.timeout
        while not self.has_ended(self.timeout):
            if time.monotonic() > deadline:
                raise Silence("the server did not hang up")

    def has_ended(self, within_seconds: float) -> bool:
        """Wait for the server to hang up, dropping what comes until then."""
        try:
            self._fill(within_seconds)
        except Gone:
            return True
        except Silence:
            return False
        self._buffer.clear()
        return False

    def is_silent(self, for_seconds: float) -> bool:
        """True if no byte comes in that time. For the absence of something that nothing else can mark."""
        if self._buffer or (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
            return False
        return not select.select([self.socket], [], [], for_seconds)[0]
