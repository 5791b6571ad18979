"""
The texts of the mails: three Jinja2 templates for each kind, ``KIND.subject.txt``, ``KIND.txt`` and ``KIND.html``.

Rule: HTML is escaped by itself, a name that a template uses and nobody gives is a mistake, and all templates are tried
at the start, so that a mistake in one does not wait for the first mail.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, TemplateError, select_autoescape
from jinja2.loaders import BaseLoader

from users_server.errors import ConfigError
from users_server.services.mail.message import MAX_SUBJECT_LENGTH, Mail

OWN_TEMPLATES = Path(__file__).parent.parent.parent / "templates"


class MailKind(enum.Enum):
    """Which mail; the value is the beginning of its templates' names."""

    ACTIVATION = "activation"
    ALREADY_ACTIVE = "already_active"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a name of templates
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    EMAIL_CHANGE = "email_change"
    EMAIL_CHANGED = "email_changed"
    WEBMASTER = "webmaster"


SAMPLE: Mapping[str, str | int] = {
    "site": "example",
    "username": "ann",
    "link": "https://example.com/",
    "key": "key",
    "email": "ann@example.com",
    "hours": 1,
    "name": "Ann",
    "sender": "ann@example.com",
    "message": "Hello",
}
"""Every name that some template gets; docs/users.md says which one gets which."""


class MailTemplates:
    """
    Makes mails from templates.

    Args:
        site: The name ``site`` in every template.
        folder: Its templates come before our own; each may be replaced alone.

    Raises:
        ConfigError: If the folder is not there, or one of the templates cannot be used.
    """

    def __init__(self, site: str, folder: Path | None = None) -> None:
        self._site = site
        loaders: list[BaseLoader] = [FileSystemLoader(OWN_TEMPLATES)]
        if folder is not None:
            if not folder.is_dir():
                raise ConfigError("mail.templates", "expected a folder that can be read", repr(str(folder)))
            loaders.insert(0, FileSystemLoader(folder))
        self._environment = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=select_autoescape(("html",), default_for_string=False),
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._try_all()

    def render(
        self, kind: MailKind, to: str, names: Mapping[str, str | int], *, reply_to: str = "", reply_name: str = ""
    ) -> Mail:
        """The mail of this kind to ``to``. The subject becomes one line, whatever the template has."""
        subject, text, html = self._render(kind, {"site": self._site, **names})
        return Mail(to, subject, text, html, reply_to=reply_to, reply_name=reply_name)

    def _render(self, kind: MailKind, names: Mapping[str, str | int]) -> tuple[str, str, str]:
        subject, text, html = (
            self._environment.get_template(f"{kind.value}.{ending}").render(names)
            for ending in ("subject.txt", "txt", "html")
        )
        return " ".join(subject.split())[:MAX_SUBJECT_LENGTH], text, html

    def _try_all(self) -> None:
        for kind in MailKind:
            try:
                self._render(kind, SAMPLE)
            except (TemplateError, OSError, ValueError, TypeError) as error:
                raise ConfigError(
                    "mail.templates", f"expected templates of {kind.value!r} that can be used", str(error)
                ) from error
