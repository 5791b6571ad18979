"""Which protocol is found at which path."""

from __future__ import annotations

from typing import Any, cast

import pytest

from users_server.errors import StartupError
from users_server.protocols.base import Mount, WireProtocol
from users_server.web.websocket.paths import PathTable


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


def mount(path: str, name: str = "one") -> Mount:
    return Mount(path, cast(WireProtocol, Named(name)))


TABLE = PathTable(
    [mount("/", "users"), mount("/relay", "relay"), mount("/relay/:app", "relay"), mount("/app/:key", "p")]
)


@pytest.mark.parametrize(
    ("path", "name", "parameters"),
    [
        ("/", "users", {}),
        ("/relay", "relay", {}),
        ("/relay/other", "relay", {"app": "other"}),
        ("/relay/:app", "relay", {"app": ":app"}),
        ("/app/a%2Fb%20c", "p", {"key": "a/b c"}),
        ("/app/%C3%B1", "p", {"key": "ñ"}),
    ],
)
def test_paths_that_are_served(path: str, name: str, parameters: dict[str, str]) -> None:
    found: Any = TABLE.find(path)
    assert (found[0].name, dict(found[1])) == (name, parameters)


@pytest.mark.parametrize(
    "path", ["", "/x", "/relay/", "/relay/a/b", "//relay", "/RELAY", "/app", "/app/%FF", "/app/\u0141", "relay/other"]
)
def test_paths_that_are_not(path: str) -> None:
    assert TABLE.find(path) is None


def test_what_stands_there_goes_before_what_fits() -> None:
    table = PathTable([mount("/:any", "any"), mount("/fixed", "fixed")])
    assert [table.find(path)[0].name for path in ("/fixed", "/other")] == ["fixed", "any"]  # type: ignore[index]


@pytest.mark.parametrize("paths", [("/a", "/a"), ("/a/:x", "/a/:y"), ("/:x", "/:x")])
def test_a_path_can_be_served_once(paths: tuple[str, str]) -> None:
    with pytest.raises(StartupError, match=r"first and second .*path"):
        PathTable([mount(paths[0], "first"), mount(paths[1], "second")])


def test_an_empty_table() -> None:
    assert PathTable().find("/") is None
