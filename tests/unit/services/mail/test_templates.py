"""Texts: escaped where they must be, replaceable one by one, and tried at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from users_server.errors import ConfigError
from users_server.services.mail import MailKind, MailTemplates
from users_server.services.mail.templates import OWN_TEMPLATES, SAMPLE

EVIL = '<script>alert("1")</script>&'


@pytest.mark.parametrize("kind", MailKind)
def test_every_kind_has_a_subject_a_text_and_html(kind: MailKind) -> None:
    mail = MailTemplates("The site").render(kind, "ann@example.com", SAMPLE | {"site": "The site"})
    assert mail.to == "ann@example.com"
    assert "The site" in mail.subject
    assert mail.text.strip()
    assert "<p>" in mail.html


@pytest.mark.parametrize("kind", MailKind)
def test_html_is_escaped_and_text_is_not(kind: MailKind) -> None:
    names = {name: EVIL if isinstance(value, str) else value for name, value in SAMPLE.items()}
    mail = MailTemplates(EVIL).render(kind, "ann@example.com", names)
    assert "<script>" not in mail.html
    assert "&lt;script&gt;" in mail.html
    assert EVIL in mail.text


def test_a_subject_is_one_line() -> None:
    mail = MailTemplates("a\r\nBcc: eve@example.com").render(MailKind.ACTIVATION, "ann@example.com", SAMPLE)
    assert "\n" not in mail.subject
    assert "\r" not in mail.subject


def test_an_operator_replaces_one_template_alone(tmp_path: Path) -> None:
    (tmp_path / "activation.txt").write_text("Willkommen {{ username }}: {{ link }}", encoding="utf-8")
    mail = MailTemplates("The site", tmp_path).render(MailKind.ACTIVATION, "ann@example.com", SAMPLE)
    own = MailTemplates("The site").render(MailKind.ACTIVATION, "ann@example.com", SAMPLE)
    assert mail.text == "Willkommen ann: https://example.com/"
    assert (mail.subject, mail.html) == (own.subject, own.html)


def test_an_operator_replaces_the_layout_of_all(tmp_path: Path) -> None:
    (tmp_path / "layout.html").write_text("<main>{% block content %}{% endblock %}</main>", encoding="utf-8")
    mail = MailTemplates("The site", tmp_path).render(MailKind.ACTIVATION, "ann@example.com", SAMPLE)
    assert mail.html.startswith("<main>")


@pytest.mark.parametrize("text", ["{{ nobody_gives_this }}", "{% if %}", "{{ username.nothing.at_all }}"])
def test_a_template_that_cannot_be_used_is_a_mistake_at_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "activation.html").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        MailTemplates("The site", tmp_path)
    assert error.value.path == "mail.templates"
    assert "activation" in error.value.expected


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        MailTemplates("The site", tmp_path / "missing")
    assert error.value.path == "mail.templates"


def test_there_is_no_template_without_a_kind() -> None:
    kinds = {kind.value for kind in MailKind}
    assert {path.name.partition(".")[0] for path in OWN_TEMPLATES.iterdir()} == kinds | {"layout"}
