"""An app's API key in a request: ``app-api-key: KEY``, or HTTP Basic with the app's id and the key."""

from __future__ import annotations

import base64
import binascii

from users_server.services.credentials import ReadsHeaders

APP_KEY_HEADER = "app-api-key"

_NOBODYS = ""
"""Given, but no key of this app. No app has it."""


def app_key_of(headers: ReadsHeaders, app_id: str) -> str | None:
    """The API key that is sent for this app; :obj:`None` if none was sent. The header goes before Basic."""
    key = headers.get(APP_KEY_HEADER)
    if key is not None:
        return key
    sent = basic_credentials(headers)
    if sent is None:
        return None
    named, key = sent
    return key if named == app_id else _NOBODYS


def basic_credentials(headers: ReadsHeaders) -> tuple[str, str] | None:
    """
    The name and the password of HTTP Basic; :obj:`None` if nothing of that kind was sent.

    Both are empty for what has not the form.
    """
    scheme, _, encoded = (headers.get("authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return "", _NOBODYS
    name, _, password = text.partition(":")
    return name, password
