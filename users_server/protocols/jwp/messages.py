"""The protocol for the definitions: the table of messages, and the handshake."""

from __future__ import annotations

from users_server.protocols.jwp.errors import CLOSE_CODES
from users_server.protocols.jwp.events import CLIENT_EVENTS, REPLY, SERVER_EVENTS
from users_server.protocols.jwp.schemas import BroadcastOutput, JWPQuery
from users_server.protocols.messages import Credential, CredentialPlace, Message, MessageTable

_ABOUT = """\
Phoenix channels with the tokens of the JeuWeb Push Server: what phoenix.js 1.4 to 1.8 speaks.

The shapes are those of `vsn=1.0.0`, one JSON object a text frame. With `vsn=2.0.0`, which phoenix.js asks for, the \
same is an array of five: `[join_ref, ref, topic, event, payload]`. `join_ref` is the `ref` of the `phx_join` that the \
message belongs to; in broadcasts it is null.

With `vsn=2.0.0` a payload that was published as `{"$binary": "<base64>"}` comes as a binary frame: the bytes 2, \
length of topic, length of event, then topic and event in UTF-8, then the payload. A client may send binary frames, \
too: 0, lengths of join_ref, ref, topic and event, then these four, then the payload. Where a name has more than 255 \
bytes, and with `vsn=1.0.0`, the payload comes as JSON."""

_AUTH = "SOCKET_ID:EXPIRY:SIGNATURE, signed with a secret of the app"

_OFFERED = "`phoenix, base64url.bearer.phx.TOKEN`: the same in base64 without padding (phoenix.js 1.8, authToken)"


def _name(event: str) -> str:
    """``presence_state`` as ``PresenceState``."""
    return "".join(word.capitalize() for word in event.removeprefix("phx_").removeprefix("jwp_").split("_"))


_OTHERS = Message(
    "Broadcast", None, BroadcastOutput, "What was pushed to the channel, under the event that it was given"
)

MESSAGE_TABLE = MessageTable(
    about=_ABOUT,
    type_field="event",
    server=[*(Message(_name(event.type), event.type, event.shape, event.help) for event in SERVER_EVENTS), _OTHERS],
    client=[
        Message(_name(event.type), None, event.shape, event.help, answer=_name(REPLY.type)) for event in CLIENT_EVENTS
    ],
    query=JWPQuery,
    parameters={},
    credentials=[
        Credential("auth", CredentialPlace.QUERY, "auth", _AUTH),
        Credential("authToken", CredentialPlace.HEADER, "Sec-WebSocket-Protocol", _OFFERED),
    ],
    close_codes=CLOSE_CODES,
)
