"""People for the tests of the Users Socket API."""

from __future__ import annotations

import pytest

from tests.server_process import ServerProcess
from tests.wire.people import People


@pytest.fixture(scope="module")
def people(any_server: ServerProcess) -> People:
    """Makes accounts on ``any_server``."""
    return People(any_server)
