"""What people do with their accounts by mail, as the configuration wants it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from users_server.app.services import Services, TellsNodes
from users_server.config import Config
from users_server.core.clock import Clock
from users_server.core.interfaces import Store
from users_server.services.account_flows import AccountFlows, FlowParts, FlowSettings, build_flows
from users_server.services.captcha import Posts
from users_server.services.origins import OriginPolicy
from users_server.services.user_events import UserEventPublisher

log = structlog.stdlib.get_logger(__name__)


EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - these are recognised, not bound


def build_account_flows(
    config: Config,
    services: Services,
    store: Store,
    node: TellsNodes,
    clock: Clock,
    client: Posts,
    http_port: Callable[[], int],
) -> AccountFlows:
    """
    The flows of a server; ``queue`` must be stopped when it stops.

    Args:
        client: For the verification of captchas.
        http_port: The real one, known when the server listens.

    Raises:
        ConfigError: If a template or a file of the mail settings cannot be used.
    """
    parts = FlowParts(
        store,
        services.passwords,
        services.sessions,
        services.users,
        UserEventPublisher(node),
        services.observers,
        OriginPolicy(config.http.approved_domains),
        client,
        clock,
    )
    settings = FlowSettings(
        api_url=lambda: api_url(config, http_port()),
        mail=config.mail,
        keys=config.account_keys,
        captcha=config.captcha,
        account_redirect_url=config.account_redirect_url,
        password_reset_url=config.password_reset_url,
        webmaster=config.admin_user.email,
        max_meta_bytes=config.http.max_meta_bytes,
    )
    if config.mail.transport == "console":
        log.info("mails are printed here; set mail.transport to send them")
    return build_flows(parts, settings)


def api_url(config: Config, http_port: int) -> str:
    """Where browsers find the API, with its prefix and without a slash at the end."""
    return public_url(config, http_port) + config.http.api_prefix.rstrip("/")


def public_url(config: Config, http_port: int) -> str:
    """Where browsers find the server, without the prefix of the API and without a slash at the end."""
    if config.http.public_url:
        return config.http.public_url.rstrip("/")
    scheme = "https" if config.tls.is_enabled else "http"
    host = "localhost" if config.host in EVERYWHERE else config.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{http_port}"
