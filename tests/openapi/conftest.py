"""A server on each store, for schemathesis to fill with nonsense."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.conftest import mongo, serve, store
from tests.server_process import ServerProcess

__all__ = ["mongo", "serve", "store"]


@pytest.fixture(scope="module")
def victim(serve: Callable[..., ServerProcess], tmp_path_factory: pytest.TempPathFactory) -> ServerProcess:
    """Its mails go to a folder."""
    return serve(mail={"transport": "file", "folder": str(tmp_path_factory.mktemp("mails"))})
