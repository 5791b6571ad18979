"""What each app uses on this node, and what it may."""

from __future__ import annotations

from users_server.core.apps import App, AppLimits
from users_server.core.connection import Connection
from users_server.core.rate_limit import TokenBucket
from users_server.errors import AppGone, InvalidValue, LimitExceeded, ServerFull

MAX_IDLE_APPS = 10_000
"""Apps that are remembered although they use nothing; beyond that the one that was told longest ago is forgotten."""

NO_LIMITS = AppLimits()


class AppUsage:
    """One app: its record, if it was told, and what it uses now."""

    __slots__ = ("app", "bucket", "channels", "connections")

    def __init__(self) -> None:
        self.app: App | None = None
        self.bucket: TokenBucket | None = None
        self.connections = 0
        self.channels = 0

    @property
    def limits(self) -> AppLimits:
        return NO_LIMITS if self.app is None else self.app.limits

    @property
    def is_idle(self) -> bool:
        return not self.connections and not self.channels

    def serves(self, protocol: str) -> bool:
        """Whether clients of ``protocol`` may stay; one without a name is asked for nothing but an app that is on."""
        if self.app is None:
            return True
        return self.app.serves(protocol) if protocol else self.app.is_enabled


class Usage:
    """Counts of all apps with something on this node, and the limits of those that were told."""

    def __init__(self) -> None:
        self._apps: dict[str, AppUsage] = {}

    def use(self, app: App, now: float) -> AppUsage:
        """Remember an app's record from now on."""
        usage = self._apps.pop(app.id, None) or AppUsage()
        rate = app.limits.publishes_per_second
        if not rate:
            usage.bucket = None
        elif usage.bucket is None or usage.bucket.rate != rate:
            usage.bucket = TokenBucket(rate, max(1.0, rate), now)
        usage.app = app
        self._apps[app.id] = usage
        self._forget_idle()
        return usage

    def forget(self, app_id: str) -> None:
        """The app is no more; what it still uses goes on being counted."""
        usage = self._apps.get(app_id)
        if usage is not None:
            usage.app = usage.bucket = None
            self._drop_unused(app_id, usage)

    def enter(self, connection: Connection) -> None:
        """A connection comes. Raises :class:`ServerFull` or :class:`AppGone`; then it is not counted."""
        usage = self._of(connection.app)
        if not usage.serves(connection.protocol):
            raise AppGone
        if 0 < usage.limits.connections <= usage.connections:
            raise ServerFull("The app has no room for another connection")
        usage.connections += 1

    def leave(self, connection: Connection) -> None:
        usage = self._apps[connection.app]
        usage.connections -= 1
        self._drop_unused(connection.app, usage)

    def open_channel(self, app_id: str) -> None:
        """A channel comes to this node. Raises :class:`LimitExceeded`; then it is not counted."""
        usage = self._of(app_id)
        if 0 < usage.limits.channels <= usage.channels:
            raise LimitExceeded(f"The app may have {usage.limits.channels} channels at most")
        usage.channels += 1

    def close_channel(self, app_id: str) -> None:
        usage = self._apps[app_id]
        usage.channels -= 1
        self._drop_unused(app_id, usage)

    def take_publish(self, app_id: str, now: float, count: int = 1) -> None:
        """
        Count publications, all or none.

        Raises :class:`LimitExceeded` if the app publishes too fast, and :class:`InvalidValue` for more than it may ever
        publish at once.
        """
        usage = self._apps.get(app_id)
        if usage is None or usage.bucket is None:
            return
        bucket = usage.bucket
        if count > bucket.burst:
            raise InvalidValue(f"The app may publish {int(bucket.burst)} times at once at most")
        if not bucket.take(now, count):
            wait_seconds = (count - bucket.tokens) / bucket.rate
            raise LimitExceeded("The app publishes too fast", retry_after_seconds=wait_seconds)

    def _of(self, app_id: str) -> AppUsage:
        usage = self._apps.get(app_id)
        if usage is None:
            usage = self._apps[app_id] = AppUsage()
        return usage

    def _drop_unused(self, app_id: str, usage: AppUsage) -> None:
        if usage.app is None and usage.is_idle:
            del self._apps[app_id]

    def _forget_idle(self) -> None:
        if len(self._apps) <= MAX_IDLE_APPS:
            return
        oldest = next((key for key, usage in self._apps.items() if usage.is_idle), None)
        if oldest is not None:
            del self._apps[oldest]
