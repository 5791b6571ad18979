"""A line that a test can cut, or let hang, and mend again."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class Line:
    """
    A TCP proxy on a free port of 127.0.0.1, in a thread of its own.

    :meth:`cut` ends all connections and refuses new ones at once; :meth:`hang` keeps them open and carries nothing, as
    a network that swallows packets; :meth:`mend` ends whatever hung and lets new connections through.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._requests: list[tuple[str, threading.Event]] = []
        self._is_cut = self._hangs = self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        self._ask("cut")

    def hang(self) -> None:
        self._ask("hang")

    def mend(self) -> None:
        self._ask("mend")

    def close(self) -> None:
        self._ask("close")
        self._thread.join()

    def _ask(self, what: str) -> None:
        """Returns when the thread has done it."""
        done = threading.Event()
        self._requests.append((what, done))
        self._wake.send(b"\0")
        assert done.wait(10), "the proxy does not answer"

    def _run(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._obey()
                    break  # the selected sockets may be closed now
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                    self._carry(key.fileobj)
        for end in (self._listener, self._wake, self._woken):
            end.close()
        self._selector.close()

    def _obey(self) -> None:
        self._woken.recv(1024)
        while self._requests:
            what, done = self._requests.pop(0)
            if what == "hang":
                self._hangs = True
                for end in self._peers:
                    self._selector.unregister(end)
            else:
                self._drop_all()
                self._hangs = False
                self._is_cut = what == "cut"
                self._is_over = what == "close"
            done.set()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = None if self._is_cut else self._reach()
        if far is None:
            near.close()
            return
        for end, other in ((near, far), (far, near)):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[end] = other
            if not self._hangs:
                self._selector.register(end, selectors.EVENT_READ)

    def _reach(self) -> socket.socket | None:
        try:
            return socket.create_connection(self._target, 5)
        except OSError:
            return None

    def _carry(self, end: socket.socket) -> None:
        try:
            data = end.recv(262_144)
            if data:
                self._peers[end].sendall(data)
                return
        except OSError:
            pass
        self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        other = self._peers.pop(end)
        del self._peers[other]
        for each in (end, other):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            each.close()

    def _drop_all(self) -> None:
        while self._peers:
            self._drop(next(iter(self._peers)))
