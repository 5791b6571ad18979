"""The relay for the definitions: the table of messages, and the handshake."""

from __future__ import annotations

from users_server.protocols.messages import Credential, CredentialPlace, Message, MessageTable, message_name
from users_server.protocols.relay.errors import CLOSE_CODES
from users_server.protocols.relay.events import EVENTS, MESSAGE, SENDED
from users_server.protocols.relay.schemas import MessageOutput, RelayQuery

_ABOUT = """\
A relay between a web application and its browsers. One JSON object a text frame; a binary frame that carries UTF-8 \
JSON is accepted too.

The token names the one channel of the connection. Every message of a client is answered by `sended`. What the data of \
a message looks like is for the channel's kind to say."""

_JWT = (
    "A JWT (HS256) with the claims id, name, channel, iat and exp, signed with `protocols.relay.secret` or a secret of "
    "the app"
)

_OTHERS = Message(
    "Event",
    None,
    MessageOutput,
    "What the application or another protocol has published under a name of its own, which is its type",
)
_SEND = Message("Send", None, MESSAGE.input, "Something for everybody in the channel", answer=message_name(SENDED.type))

MESSAGE_TABLE = MessageTable(
    about=_ABOUT,
    type_field="type",
    server=[*(Message(message_name(event.type), event.type, event.output, event.help) for event in EVENTS), _OTHERS],
    client=[_SEND],
    query=RelayQuery,
    parameters={"app": "The id of the app, whose secrets have signed the token"},
    credentials=[Credential("token", CredentialPlace.QUERY, "token", _JWT)],
    close_codes=CLOSE_CODES,
)
