"""Apps and their channels. Rows of the route table."""

from __future__ import annotations

from users_server.schemas.apps import AppAnswer, AppsAnswer, ChangeAppInput, CreateAppInput, NewAppAnswer
from users_server.schemas.channels import (
    ChannelAnswer,
    HistoryAnswer,
    HistoryQuery,
    MembersAnswer,
    PublishAnswer,
    PublishInput,
)
from users_server.schemas.queries import PageQuery
from users_server.services.audit import Action
from users_server.web.rest import apps, channels
from users_server.web.route import Route, Who

APPS = (
    Route(
        "GET",
        "/apps",
        apps.list_apps,
        Who.LOGGED_IN,
        summary="List the caller's apps; for an admin all",
        message="Found {count} apps",
        tag="apps",
        query=PageQuery,
        answer=AppsAnswer,
    ),
    Route(
        "POST",
        "/apps",
        apps.create_app,
        Who.LOGGED_IN,
        summary="Make an app; the only answer with its secrets",
        message="App {id} has been created",
        tag="apps",
        action=Action.APP_CREATED,
        request=CreateAppInput,
        answer=NewAppAnswer,
    ),
    Route(
        "GET",
        "/apps/:app",
        apps.get_app,
        Who.LOGGED_IN,
        summary="Get an app, for its owner and admins",
        message="Found {id}",
        tag="apps",
        answer=AppAnswer,
    ),
    Route(
        "PUT",
        "/apps/:app",
        apps.change_app,
        Who.LOGGED_IN,
        summary="Change an app, for its owner and admins; what is left out stays",
        message="App {id} has been changed",
        tag="apps",
        action=Action.APP_CHANGED,
        request=ChangeAppInput,
        answer=AppAnswer,
    ),
    Route(
        "DELETE",
        "/apps/:app",
        apps.remove_app,
        Who.LOGGED_IN,
        summary="Remove an app and close its connections, for its owner and admins",
        message="App {id} has been removed",
        tag="apps",
        action=Action.APP_REMOVED,
    ),
    Route(
        "POST",
        "/apps/:app/rotate",
        apps.rotate_app_keys,
        Who.LOGGED_IN,
        summary="Make new keys beside the present ones; the only answer with the new secrets",
        message="App {id} has new keys",
        tag="apps",
        action=Action.APP_KEYS_ROTATED,
        answer=NewAppAnswer,
    ),
    Route(
        "POST",
        "/apps/:app/retire-keys",
        apps.retire_app_keys,
        Who.LOGGED_IN,
        summary="End all keys but the newest",
        message="App {id} has its newest keys only",
        tag="apps",
        action=Action.APP_KEYS_ROTATED,
        answer=AppAnswer,
    ),
)

CHANNELS = (
    Route(
        "POST",
        "/apps/:app/events",
        channels.publish_events,
        Who.APP,
        summary="Publish an event, or up to 100, to channels of the app",
        message="Published {count} times",
        tag="channels",
        request=PublishInput,
        answer=PublishAnswer,
        max_items=100,
    ),
    Route(
        "GET",
        "/apps/:app/channels/:channel",
        channels.get_channel,
        Who.APP,
        summary="Get a channel's options and numbers",
        message="The channel has {count} subscribers on this node",
        tag="channels",
        answer=ChannelAnswer,
    ),
    Route(
        "GET",
        "/apps/:app/channels/:channel/history",
        channels.list_history,
        Who.APP,
        summary="Get what was published, the newest or after a position",
        message="Found {count} publications",
        tag="channels",
        query=HistoryQuery,
        answer=HistoryAnswer,
    ),
    Route(
        "GET",
        "/apps/:app/channels/:channel/members",
        channels.list_members,
        Who.APP,
        summary="List who is there, on all nodes",
        message="Found {count} members",
        tag="channels",
        answer=MembersAnswer,
    ),
)
