"""Where the database is: ``mongodb://user:password@host:27017/users_server?option=value`` or ``mongodb+srv://…``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

DEFAULT_DATABASE = "users_server"

_PLAIN = "mongodb://"
_SRV = "mongodb+srv://"
_FORMS = "mongodb://HOST:27017/users_server or mongodb+srv://HOST/users_server"
_FORBIDDEN_IN_NAME = frozenset('/\\. "$*<>:|?\0')
_LONGEST_NAME_BYTES = 63


@dataclass(frozen=True, slots=True)
class MongoLocation:
    """
    A URL that was checked.

    Attributes:
        database: From the URL's path.
        hosts: For people; without user and password.
        options: The names of the URL's options, in lower case.
    """

    url: str = field(repr=False)
    database: str
    hosts: str
    options: frozenset[str]


def parse_mongodb_url(url: str) -> MongoLocation:
    """
    Check ``url`` without connecting or asking DNS; the options of an SRV URL are checked when the store opens.

    Raises:
        ValueError: If it is not such a URL. The message says what is, and never holds the password.
    """
    if not url.startswith((_PLAIN, _SRV)):
        raise ValueError(f"must look like {_FORMS}")
    base, _, query = url.partition("?")
    is_srv = url.startswith(_SRV)
    parsed, mistake = _parse(_PLAIN + base.removeprefix(_SRV) if is_srv else url)
    if parsed is None:
        # Not in the except block: the driver's error would be this one's context, and it may quote a password.
        raise ValueError(mistake)
    database = parsed["database"] or DEFAULT_DATABASE
    if parsed["collection"] or _FORBIDDEN_IN_NAME & set(database) or len(database.encode()) > _LONGEST_NAME_BYTES:
        raise ValueError("names a database that MongoDB does not allow; use letters, digits, - and _, at most 63")
    hosts = ",".join(host if is_srv or port is None else f"{host}:{port}" for host, port in parsed["nodelist"])
    options = frozenset(name.lower() for name, _ in parse_qsl(query, keep_blank_values=True))
    return MongoLocation(url, database, hosts, options)


def _parse(url: str) -> tuple[dict[str, Any] | None, str]:
    """What the driver makes of ``url``, or what is wrong with it."""
    try:
        return dict(parse_uri(url, validate=True, warn=False)), ""
    except (PyMongoError, ValueError, TypeError, OSError) as error:
        if "@" in url or "password" in url.lower():
            # The driver quotes the part that it could not read, and that may be a piece of the password.
            return None, (
                f"is not a URL that the MongoDB driver takes; it must look like {_FORMS}, and in the user's name and "
                "password @ : / % are written %40 %3A %2F %25"
            )
        return None, f"is not a URL that the MongoDB driver takes: {error}"
