"""The HTTP side of a server on a real socket, with the real services on SQLite, and a client that sends anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any, Protocol

from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application

from tests.mail_server import ReceivedMail
from tests.memory_node import memory_node
from users_server.backends.local_files import LocalFileStorage
from users_server.backends.sqlite import SQLiteStore
from users_server.core.accounts import KeyKind, User
from users_server.core.channels import ChannelRule, ChannelRules
from users_server.core.connection import Connection
from users_server.core.files import FileStorage
from users_server.core.interfaces import Store
from users_server.core.messages import USERS_CHANNEL, Identity, Publication
from users_server.protocols.http import HTTPService
from users_server.protocols.jwp.http import HTTP_TABLE, Desk
from users_server.protocols.users.emitter import EventEmitter
from users_server.services.account_flows import AccountFlows, FlowParts, FlowSettings, build_flows
from users_server.services.account_observers import AccountObservers
from users_server.services.account_safety import AccountSafety
from users_server.services.account_settings import AccountKeySettings, CaptchaSettings, MailSettings
from users_server.services.apps import APP_CHANGED, AppDraft, AppOwnerObserver, AppService, NewApp, SecretSealer
from users_server.services.audit import AuditLog
from users_server.services.content import ContentServices, build_content
from users_server.services.content_settings import FileSettings
from users_server.services.idempotency import IdempotentRequests
from users_server.services.identity import IdentityService
from users_server.services.one_time_keys import OneTimeKeys
from users_server.services.origins import OriginPolicy
from users_server.services.own_sessions import OwnSessionService
from users_server.services.passwords import Argon2Costs, PasswordService
from users_server.services.personal_data import PersonalDataService
from users_server.services.personal_sources import OwnedApps, OwnedBuckets
from users_server.services.publishing import PublishingService
from users_server.services.sessions import SessionService
from users_server.services.settings import (
    AdminUser,
    AppSettings,
    AuditSettings,
    LoginLimits,
    PasswordSettings,
    SessionSettings,
    TokenKey,
    TokenSettings,
)
from users_server.services.throttle import LoginThrottle
from users_server.services.tokens import TokenService
from users_server.services.user_events import UserEventPublisher
from users_server.services.users import UserService
from users_server.web.context import HttpContext
from users_server.web.documents import ApiDocuments
from users_server.web.metrics import Metrics
from users_server.web.outgoing import JSONPoster
from users_server.web.protocol_routes import ProtocolEdge, protocol_routes
from users_server.web.routes import ROUTES, Route, build_http_routes, normalise_prefix
from users_server.web.settings import Compatibility, HttpSettings

API_KEY = "an-api-key-for-the-tests"
ENCRYPTION_KEY = "an encryption key of the tests, longer than thirty-two bytes"
CHIEF = AdminUser("chief", "chief@example.com", "the chief's own password")
PASSWORD = "a password of the tests"
KEY = TokenKey("tests", "HS256", secret="a secret of the tests, longer than thirty-two bytes")
START_MS = 1_700_000_000_000
CHEAP = Argon2Costs(time_cost=1, memory_kibibytes=8, parallelism=1)


class ManualClock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self._now_ms = START_MS

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._now_ms / 1000

    def advance(self, seconds: float) -> None:
        self._now_ms += int(seconds * 1000)


class Listener:
    """Subscribed to the user events as a socket is: collects what the node brings."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def encode(self, publication: Publication) -> bytes | None:
        self.events.append((publication.event, publication.data))
        return None

    def write(self, frames: bytes) -> None:
        raise AssertionError("nothing was encoded")

    def close(self, code: int, reason: str) -> None:
        pass

    def abort(self) -> None:
        pass

    @property
    def queued_bytes(self) -> int:
        return 0


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    set_cookies: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        message = self.json["message"]
        assert isinstance(message, str)
        return message

    @property
    def cookie(self) -> Morsel[str] | None:
        """The session cookie that this answer sets, if it does."""
        cookies = [SimpleCookie(line)["SID"] for line in self.set_cookies]
        assert len(cookies) <= 1
        return cookies[0] if cookies else None


@dataclass
class Site:
    """A server, its users and a client. ``http``, ``session`` and the like are read when it starts."""

    directory: Path
    http: HttpSettings = field(default_factory=HttpSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    compatibility: Compatibility = Compatibility.NONE
    is_tls: bool = False
    keys: tuple[TokenKey, ...] = (KEY,)
    login_limits: LoginLimits = field(default_factory=LoginLimits)
    audit: AuditSettings = field(default_factory=AuditSettings)
    routes: tuple[Route, ...] = ROUTES
    apps: AppSettings = field(default_factory=lambda: AppSettings(encryption_keys=(ENCRYPTION_KEY,), creation="users"))
    channel_rules: tuple[ChannelRule, ...] = ()
    store_of: Callable[[], Store] | None = None
    passwords_of: Callable[[], PasswordService] = lambda: PasswordService(PasswordSettings(), costs=CHEAP)
    files: FileSettings = field(default_factory=FileSettings)
    storage_of: Callable[[], FileStorage] | None = None
    mail_settings: MailSettings = field(default_factory=lambda: MailSettings(transport="file"))
    keys_of_mails: AccountKeySettings = field(default_factory=AccountKeySettings)
    captcha: CaptchaSettings = field(default_factory=CaptchaSettings)
    account_redirect_url: str = ""
    password_reset_url: str = ""

    async def start(self) -> None:
        self.clock = ManualClock()
        self.store = self.store_of() if self.store_of is not None else SQLiteStore(self.directory / "users.db")
        await self.store.open()
        self.node = memory_node(IOLoop.current().add_callback, self.clock, rules=ChannelRules(self.channel_rules))
        await self.node.start()
        in_folder = LocalFileStorage(self.directory / "files")
        self.storage = self.storage_of() if self.storage_of is not None else in_folder
        await self.storage.open()
        self.passwords = self.passwords_of()
        self.checks: dict[str, Callable[[], Awaitable[None]]] = {
            "database": self.store.check,
            "broker": self.node.check,
        }
        self.context = self._make_context()
        await self._listen()
        await self._add_users()
        self.listener = Listener()
        self.node.connect(
            Connection("listener", Identity(), self.listener, self.listener, lambda _reason: None), (USERS_CHANNEL,)
        )

    async def stop(self) -> None:
        self.server.stop()
        self.client.close()
        await self.server.close_all_connections()
        await self.context.content.uploads.close()
        await self.context.flows.queue.stop(5)
        await self.context.apps.stop()
        await self.poster.close()
        await self.node.stop()
        await self.passwords.close()
        await self.storage.close()
        await self.store.close()

    def _make_context(self) -> HttpContext:
        events = UserEventPublisher(self.node)
        token_settings = TokenSettings(keys=self.keys)
        tokens = TokenService(token_settings, self.clock)
        sessions = SessionService(self.store, events, self.node, self.session, self.clock)
        observers = AccountObservers()
        throttle = LoginThrottle(self.store, self.login_limits, self.clock)
        audit = AuditLog(self.store, self.audit, self.clock)
        users = UserService(
            self.store,
            self.passwords,
            sessions,
            events,
            throttle,
            self.clock,
            max_meta_bytes=self.http.max_meta_bytes,
            observers=observers,
            audit=audit,
        )
        observers.add(audit)
        apps = AppService(self.store, SecretSealer(self.apps), self.apps, self.clock, self.node.notify)
        apps.on_change(lambda app_id, app: self.node.forget_app(app_id) if app is None else self.node.use_app(app))
        self.node.on_notice(APP_CHANGED, apps.handle_notice)
        observers.add(AppOwnerObserver(apps))
        content = self._make_content(events)
        observers.add(content.buckets)
        personal_data = PersonalDataService(users, sessions, audit, self.clock)
        personal_data.add(OwnedApps(self.store))
        personal_data.add(OwnedBuckets(self.store, lambda: f"http://{self.host}"))
        return HttpContext(
            http=self.http,
            session=self.session,
            compatibility=self.compatibility,
            is_tls=self.is_tls,
            users=users,
            flows=self._make_flows(users, sessions, observers),
            safety=AccountSafety(audit, throttle, OwnSessionService(users, sessions, audit), personal_data),
            sessions=sessions,
            identities=IdentityService(self.store, sessions, tokens, API_KEY),
            tokens=tokens,
            apps=apps,
            publishing=PublishingService(self.node, self.node.rules, self.node.limits),
            node=self.node,
            origins=OriginPolicy(self.http.approved_domains),
            emit=EventEmitter(self.node).emit,
            checks=self.checks,
            metrics=Metrics(),
            content=content,
            documents=ApiDocuments(normalise_prefix(self.http.api_prefix), [HTTP_TABLE.tag]),
            token_settings=token_settings,
            clock=self.clock,
        )

    def _make_content(self, events: UserEventPublisher) -> ContentServices:
        return build_content(self.store, self.storage, events, self.files, self.clock, lambda: f"http://{self.host}")

    def _make_flows(self, users: UserService, sessions: SessionService, observers: AccountObservers) -> AccountFlows:
        self.poster = JSONPoster()
        self.mail_folder = self.directory / "mail"
        parts = FlowParts(
            self.store,
            self.passwords,
            sessions,
            users,
            UserEventPublisher(self.node),
            observers,
            OriginPolicy(self.http.approved_domains),
            self.poster,
            self.clock,
        )
        settings = FlowSettings(
            api_url=lambda: f"http://{self.host}",
            mail=replace(self.mail_settings, folder=str(self.mail_folder)),
            keys=self.keys_of_mails,
            captcha=self.captcha,
            account_redirect_url=self.account_redirect_url,
            password_reset_url=self.password_reset_url,
            webmaster=CHIEF.email,
            max_meta_bytes=self.http.max_meta_bytes,
        )
        return build_flows(parts, settings)

    async def make_key(self, kind: KeyKind, username: str) -> str:
        """A live key of the account, as a mail would bring it."""
        user = await self.store.find_user(username)
        assert user is not None
        record, key = OneTimeKeys(self.store, self.clock).new(kind, user.id, 60, email=f"new.{user.email}")
        await self.store.put_key(record)
        return key

    async def mails(self) -> list[ReceivedMail]:
        """The mails since the last call, in the order of their recipients, when none is under way any more."""
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "mail"))
        found = []
        for path in sorted(self.mail_folder.glob("*.eml")):
            content = path.read_bytes()
            mail = ReceivedMail("", [], content, is_encrypted=False, is_authenticated=False)
            found.append(replace(mail, recipients=[str(mail.message["To"])]))
            path.unlink()
        return sorted(found, key=lambda mail: mail.recipients)

    async def mail(self) -> ReceivedMail:
        """The only one of :meth:`mails`."""
        (mail,) = await self.mails()
        return mail

    async def _listen(self) -> None:
        desk = Desk(self.context.apps, self.context.publishing, IdempotentRequests(self.store, self.clock))
        edge = ProtocolEdge(self.http.max_body_bytes, self.context.metrics)
        application = Application(
            [
                *protocol_routes([HTTPService(HTTP_TABLE, desk)], edge),
                *build_http_routes(self.context, self.routes),
            ],
            log_function=lambda _handler: None,
        )
        listening, self.port = bind_unused_port()
        self.server = HTTPServer(application, max_body_size=self.http.max_body_bytes)
        self.server.add_socket(listening)
        self.client = AsyncHTTPClient(force_instance=True)

    async def _add_users(self) -> None:
        """The chief (super admin), the deputy (admin), and alice and bob."""
        await self.context.users.ensure_admin(CHIEF)
        chief = await self.store.find_user("chief")
        assert chief is not None
        self.clock.advance(0.001)
        self.by_chief = Identity(chief.id, chief.username, chief.privileges)
        for username, privileges in (("deputy", 2), ("alice", 3), ("bob", 3)):
            await self.context.users.create(
                self.by_chief,
                username=username,
                email=f"{username}@example.com",
                password=PASSWORD,
                privileges=privileges,
            )
            self.clock.advance(0.001)

    async def add_inactive(self, username: str, key: str = "register-key") -> None:
        """An account that waits for its activation."""
        password_hash = await self.passwords.hash(PASSWORD)
        await self.store.create_user(
            User(
                id=username.encode().hex().ljust(24, "0")[:24],
                username=username,
                email=f"{username}@example.com",
                password_hash=password_hash,
                privileges=3,
                created_on=START_MS,
                register_key=key,
                password_tag="tag-of-twenty-letters",
            )
        )

    async def add_app(self, app_id: str) -> NewApp:
        """An app of the chief's."""
        return await self.context.apps.create(
            self.by_chief, AppDraft(name=app_id), app_id=app_id, owner_id=self.by_chief.user_id
        )

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        cookie: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """Send one request. ``body`` goes as JSON, ``raw`` as it is; neither: no body at all."""
        fields = dict(headers or {})
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
        if cookie is not None:
            fields["Cookie"] = f"SID={cookie}"
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        response = await self.client.fetch(
            f"http://{self.host}{path}",
            method=method,
            headers=fields,
            body=raw if body is None else json.dumps(body).encode(),
            allow_nonstandard_methods=True,
            follow_redirects=False,
            raise_error=False,
        )
        return _reply(response)

    async def login(self, username: str, password: str | None = None, **fields: Any) -> str:
        """The cookie of a new session, a millisecond after whatever was before."""
        self.clock.advance(0.001)
        secret = password or (CHIEF.password if username == "chief" else PASSWORD)
        reply = await self.ask("POST", "/users/login", {"username": username, "password": secret, **fields})
        assert reply.status == 200, reply
        assert reply.cookie is not None
        return reply.cookie.value

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, *lines: str, body: bytes = b"") -> Reply:
        """Send the request that these lines are, byte for byte, and read the answer until the server hangs up."""
        reader, writer = await self.connect()
        try:
            head = "\r\n".join([*lines, f"Host: {self.host}", "Connection: close", "", ""])
            writer.write(head.encode("latin-1") + body)
            answer = await reader.read()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        first, _, rest = answer.partition(b"\r\n")
        fields, _, content = rest.partition(b"\r\n\r\n")
        return Reply(int(first.split(b" ")[1]), HTTPHeaders.parse(fields.decode("latin-1")), content)


def _reply(response: HTTPResponse) -> Reply:
    return Reply(response.code, response.headers, response.body or b"", tuple(response.headers.get_list("Set-Cookie")))


class SiteMaker(Protocol):
    """Makes and starts a site; the fixture stops it after the test."""

    async def __call__(self, **settings: Any) -> Site: ...
