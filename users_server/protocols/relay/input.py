"""What the back end publishes on Redis (relay.md): ``{"channel": …, "data": object, "type"?: "message"}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from users_server.core.channels import is_system_channel
from users_server.core.clock import Clock
from users_server.core.interfaces import ExternalInput
from users_server.core.messages import JSON
from users_server.core.node import Node
from users_server.core.rate_limit import TokenBucket
from users_server.errors import (
    AppGone,
    InvalidPayload,
    InvalidValue,
    PayloadTooLarge,
    PermissionDenied,
    UsersServerError,
)
from users_server.protocols.relay.admission import NAME
from users_server.protocols.relay.events import MESSAGE, OWN_TYPES
from users_server.protocols.relay.kinds import Kinds, Passed
from users_server.protocols.relay.settings import RelaySettings
from users_server.protocols.relay.sizes import check_size, data_limit
from users_server.schemas.json_text import decode_object
from users_server.services.apps import AppService

log = structlog.stdlib.get_logger(__name__)

LOGGED_PER_SECOND, LOGGED_AT_ONCE = 1.0, 20.0
"""Lines for messages that were dropped; what is beyond them is counted in the next line."""

MAX_TYPE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages go."""

    node: Node
    apps: AppService
    clock: Clock


class RelayInput:
    """
    :class:`users_server.protocols.base.Part`: publishes in the configured app what comes in. The server is the sender.

    A message that cannot be published is logged, without its data, and dropped.
    """

    def __init__(self, settings: RelaySettings, kinds: Kinds, source: ExternalInput, target: Target) -> None:
        self._settings = settings
        self._kinds = kinds
        self._source = source
        self._target = target
        self._log_bucket = TokenBucket(LOGGED_PER_SECOND, LOGGED_AT_ONCE, target.clock.monotonic())
        self._unlogged = 0

    async def start(self) -> None:
        """Returns when what is published later is heard."""
        await self._source.listen(f"{self._settings.redis_prefix}broadcast", self.handle)

    async def stop(self) -> None:
        await self._source.close()

    async def handle(self, payload: bytes) -> None:
        """Publish one message. Never raises."""
        try:
            await self._publish(payload)
        except UsersServerError as error:
            self._drop(error)
        except Exception:
            log.exception("relay input failed")

    async def _publish(self, payload: bytes) -> None:
        if len(payload) > self._settings.max_input_bytes:
            raise PayloadTooLarge
        message = decode_object(payload)
        channel, event, passed = self._read(message)
        app = await self._target.apps.get(self._settings.app)
        if not app.serves(NAME):
            raise AppGone("The app does not serve the relay")
        check_size(passed.data, data_limit(app, self._target.node), at_most=len(payload))
        await self._target.node.publish(app.id, channel, event, passed.data, to_user=passed.to_user)

    def _read(self, message: Mapping[str, JSON]) -> tuple[str, str, Passed]:
        """Channel, event and data. Raises :class:`ClientError`."""
        channel: Any = message.get("channel")
        data, event = message.get("data"), message.get("type", MESSAGE.type)
        if not isinstance(channel, str):
            raise InvalidValue("channel must be text")
        if is_system_channel(self._settings.app, channel):
            raise PermissionDenied("Only the server itself publishes in this channel")
        if type(data) is not dict:
            raise InvalidValue("data must be an object")
        if not isinstance(event, str) or not 0 < len(event) <= MAX_TYPE_LENGTH or event in OWN_TYPES:
            raise InvalidValue('type must be "message", or a word that is none of the relay\'s own')
        return channel, event, self._kinds.of(channel).apply(data) if event == MESSAGE.type else Passed(data, None)

    def _drop(self, error: UsersServerError) -> None:
        if not self._log_bucket.take(self._target.clock.monotonic()):
            self._unlogged += 1
            return
        fields = error.messages if isinstance(error, InvalidPayload) else None
        log.warning(
            "relay input dropped", reason=error.reason, why=error.message, fields=fields, unlogged=self._unlogged
        )
        self._unlogged = 0
