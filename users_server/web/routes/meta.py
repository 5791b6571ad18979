"""Meta data of users. Rows of the route table."""

from __future__ import annotations

from users_server.schemas.meta import MetaInput, MetaPropertyInput
from users_server.services.audit import Action
from users_server.web.rest import meta
from users_server.web.route import Route, Who

META = (
    Route(
        "GET",
        "/users/:user/meta",
        meta.get_meta,
        Who.OWNER,
        summary="Get all meta data of a user, as the bare object",
        message="",
        tag="meta",
        answer=None,
    ),
    Route(
        "GET",
        "/users/:user/meta/:name",
        meta.get_meta_property,
        Who.OWNER,
        summary="Get one value of a user's meta data, as the bare value",
        message="",
        tag="meta",
        answer=None,
    ),
    Route(
        "POST",
        "/users/:user/meta",
        meta.set_meta,
        Who.ADMIN,
        summary="Replace all meta data of a user, or clear it",
        message="User's data has been updated",
        tag="meta",
        action=Action.META_CHANGED,
        request=MetaInput,
    ),
    Route(
        "POST",
        "/users/:user/meta/:name",
        meta.set_meta_property,
        Who.ADMIN,
        summary="Set one value of a user's meta data",
        message="Value '{name}' has been updated",
        tag="meta",
        action=Action.META_CHANGED,
        request=MetaPropertyInput,
    ),
)
