"""
Many clients that connect at the same moment, in a process of their own: what they do does not delay who measures.

Run as ``python -m harness.crowd PORT COUNT ORIGIN SECONDS``. It prints "ready", storms when it is told a line, prints
when that began and ended, reads what the server sends until its input ends, and prints what each client has seen.
Pings are not answered: it has to be over before the server minds that.
"""

from __future__ import annotations

import errno
import heapq
import json
import os
import select
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass

from harness.machine import raise_descriptor_limit
from harness.subscriber import ANSWER, CLOSE, HANDSHAKE

CALLS_BETWEEN_READS = 16
MOST_TRIES = 5
RETRY_SECONDS = 0.2
DRAIN_SECONDS = 1.0
# struct tcp_info of linux/tcp.h: 8 bytes, then counters of 32 bits, of which this is one.
TCP_TOTAL_RETRANSMITS_OFFSET = 8 + 23 * 4


@dataclass
class Newcomer:
    """
    One client. ``called_at`` is when it first called connect(), ``answered_at`` when it had its 101.

    ``was_held_up``: the kernel had to send something again, most likely because the server's queue was full.
    """

    number: int
    sock: socket.socket
    called_at: int = 0
    answered_at: int | None = None
    tries: int = 0
    has_asked: bool = False
    has_heard: bool = False
    was_held_up: bool = False
    received: bytes = b""


class Crowd:
    """All of them, on one epoll, which tells of answers in the order in which they came."""

    def __init__(self, count: int, port: int, origin: str) -> None:
        self._address = ("127.0.0.1", port)
        self._request = HANDSHAKE.format(port=port, origin=origin).encode()
        self._epoll = select.epoll()
        self._newcomers = [Newcomer(number, _new_socket()) for number in range(count)]
        self._by_descriptor: dict[int, Newcomer] = {}
        self._inside: dict[int, Newcomer] = {}
        self._retries: list[tuple[float, int]] = []
        self._next_drain = 0.0
        self.answers: list[int] = []
        self.setbacks: Counter[str] = Counter()
        self.closed = 0
        self.began_at = self.called_at = self.ended_at = 0

    def storm(self, seconds: float) -> None:
        """Connect all as fast as one thread can; until all are in, or have given up, or the time is over."""
        self.began_at = time.monotonic_ns()
        deadline = time.monotonic() + seconds
        for newcomer in self._newcomers:
            newcomer.called_at = time.monotonic_ns()
            self._connect(newcomer)
            if newcomer.number % CALLS_BETWEEN_READS == 0:
                self._read_answers(0)
        self.called_at = time.monotonic_ns()
        while self._is_anybody_outside() and (now := time.monotonic()) < deadline:
            while self._retries and self._retries[0][0] <= now:
                self._connect(self._newcomers[heapq.heappop(self._retries)[1]])
            self._read_answers(0.05)
            if now >= self._next_drain:
                self.drain()
        is_over = len(self.answers) == len(self._newcomers)
        self.ended_at = max(n.answered_at or 0 for n in self._newcomers) if is_over else time.monotonic_ns()

    def drain(self) -> None:
        """Read and forget what those inside were sent; whoever was sent out instead has to come again."""
        self._next_drain = time.monotonic() + DRAIN_SECONDS
        for newcomer in tuple(self._inside.values()):
            try:
                while data := newcomer.sock.recv(65_536):
                    self._hear(newcomer, data)
                self._lose(newcomer)
            except BlockingIOError:
                continue
            except OSError:
                self._lose(newcomer)

    def report(self) -> dict[str, object]:
        """What happened, for the process that measures."""
        return {
            "called_at": self.called_at,
            "answers": self.answers,
            "calls": [newcomer.called_at for newcomer in self._newcomers],
            "answered": [newcomer.answered_at for newcomer in self._newcomers],
            "held_up": [newcomer.was_held_up for newcomer in self._newcomers],
            "tries": [newcomer.tries for newcomer in self._newcomers],
            "setbacks": self.setbacks,
            "closed": self.closed,
        }

    def _is_anybody_outside(self) -> bool:
        """Whether somebody still waits or will try again; a last look at the others finds who was sent out."""
        if not (self._by_descriptor or self._retries):
            self.drain()
        return bool(self._by_descriptor or self._retries)

    def _connect(self, newcomer: Newcomer) -> None:
        newcomer.tries += 1
        newcomer.has_asked = newcomer.has_heard = False
        newcomer.received = b""
        status = newcomer.sock.connect_ex(self._address)
        if status not in (0, errno.EINPROGRESS):
            self._set_back(newcomer, os.strerror(status))
            return
        self._by_descriptor[newcomer.sock.fileno()] = newcomer
        self._epoll.register(newcomer.sock, select.EPOLLIN | select.EPOLLET)
        self._ask(newcomer)

    def _ask(self, newcomer: Newcomer) -> None:
        """Send the request. On loopback connect() has connected already, unless the server's queue is full."""
        try:
            newcomer.sock.send(self._request)
        except BlockingIOError:
            self._epoll.modify(newcomer.sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        except OSError as error:
            self._set_back(newcomer, error.strerror or "lost")
        else:
            newcomer.has_asked = True

    def _read_answers(self, timeout: float) -> None:
        for descriptor, _ in self._epoll.poll(timeout, max(1, len(self._by_descriptor))):
            newcomer = self._by_descriptor.get(descriptor)
            if newcomer is None:
                continue
            if not newcomer.has_asked:
                self._ask(newcomer)
            else:
                self._read_answer(newcomer)

    def _read_answer(self, newcomer: Newcomer) -> None:
        try:
            data = newcomer.sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError as error:
            self._set_back(newcomer, error.strerror or "lost")
            return
        newcomer.received += data
        head, end, rest = newcomer.received.partition(b"\r\n\r\n")
        if end and ANSWER in head:
            self._enter(newcomer, rest)
        elif end:
            self._set_back(newcomer, head.partition(b"\r\n")[0].decode(errors="replace"))
        elif not data:
            self._set_back(newcomer, "closed without an answer")

    def _enter(self, newcomer: Newcomer, data: bytes) -> None:
        newcomer.answered_at = time.monotonic_ns()
        newcomer.was_held_up |= _has_sent_again(newcomer.sock)
        newcomer.received = b""
        self.answers.append(newcomer.number)
        descriptor = newcomer.sock.fileno()
        self._epoll.unregister(descriptor)
        self._inside[descriptor] = self._by_descriptor.pop(descriptor)
        if data:
            self._hear(newcomer, data)

    def _hear(self, newcomer: Newcomer, data: bytes) -> None:
        """A server that is full answers with 101 too, and then closes: the first frame tells."""
        if not newcomer.has_heard and data[0] & 0x0F == CLOSE:
            self._inside.pop(newcomer.sock.fileno(), None)
            self.answers.remove(newcomer.number)
            newcomer.answered_at = None
            self._set_back(newcomer, f"closed with {int.from_bytes(data[2:4])}")
        newcomer.has_heard = True

    def _lose(self, newcomer: Newcomer) -> None:
        if self._inside.pop(newcomer.sock.fileno(), None):
            self.closed += 1

    def _set_back(self, newcomer: Newcomer, why: str) -> None:
        """The server did not let it in: again a little later, as clients do."""
        self.setbacks[why] += 1
        self._by_descriptor.pop(newcomer.sock.fileno(), None)
        newcomer.sock.close()
        newcomer.sock = _new_socket()
        if newcomer.tries < MOST_TRIES:
            heapq.heappush(self._retries, (time.monotonic() + RETRY_SECONDS * newcomer.tries, newcomer.number))


def _new_socket() -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    # Closed with a reset, so that ten thousand ports do not wait for a minute after each run.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sock


def _has_sent_again(sock: socket.socket) -> bool:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_TOTAL_RETRANSMITS_OFFSET + 4)
    return bool(struct.unpack_from("=I", info, TCP_TOTAL_RETRANSMITS_OFFSET)[0])


def main(port: str, count: str, origin: str, seconds: str) -> None:
    raise_descriptor_limit()
    os.nice(10)  # the process that measures may share the core, and is not to wait for this one
    crowd = Crowd(int(count), int(port), origin)
    print("ready", flush=True)
    if not sys.stdin.readline():
        return
    crowd.storm(float(seconds))
    print(json.dumps({"began_at": crowd.began_at, "ended_at": crowd.ended_at}), flush=True)
    while not select.select([sys.stdin], [], [], DRAIN_SECONDS)[0]:
        crowd.drain()
    crowd.drain()
    print(json.dumps(crowd.report()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
