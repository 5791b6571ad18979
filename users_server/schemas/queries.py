"""What may stand behind the question mark."""

from __future__ import annotations

from marshmallow import fields, validate

from users_server.schemas.fields import Input

MAX_PAGE = 100
MAX_INDEX = 2**31 - 1
MAX_SEARCH = 256
_TRUTHY = {*fields.Boolean.truthy, ""}


class VerboseQuery(Input):
    """``verbose`` alone is as good as ``verbose=true``."""

    verbose = fields.Boolean(
        truthy=_TRUTHY, load_default=False, metadata={"description": "Unmask what the caller may see unmasked"}
    )


class PageQuery(Input):
    index = fields.Integer(
        load_default=0, validate=validate.Range(0, MAX_INDEX), metadata={"description": "How many are passed over"}
    )
    limit = fields.Integer(
        load_default=20, validate=validate.Range(1, MAX_PAGE), metadata={"description": "How many are answered at most"}
    )


class BusiestQuery(Input):
    limit = fields.Integer(
        load_default=20,
        validate=validate.Range(1, MAX_PAGE),
        metadata={"description": "How many connections, and how many channels, are answered at most"},
    )


class UsersQuery(PageQuery):
    search = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_SEARCH),
        metadata={"description": "A part of the username or email, without case; nothing in it is special"},
    )
    verbose = fields.Boolean(
        truthy=_TRUTHY, load_default=False, metadata={"description": "Unmask; for the super admin, else without effect"}
    )
