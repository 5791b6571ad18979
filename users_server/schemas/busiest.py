"""What a node has done and what keeps it busy, for whoever operates it."""

from __future__ import annotations

from marshmallow import fields

from users_server.core.busiest import Busiest
from users_server.core.connection import Connection
from users_server.core.hub import LocalChannel
from users_server.core.messages import JSON
from users_server.core.statistics import Statistics
from users_server.errors import SlowConsumer
from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Output


class LagEntry(Output):
    """How often the event loop was late, and by how much."""

    bounds = fields.List(fields.Float(), required=True, metadata={"description": "Seconds, rising"})
    counts = fields.List(
        fields.Integer(),
        required=True,
        metadata={"description": "How often it was within each bound and over the one before; at the end, over all"},
    )


class NodeEntry(Output):
    """The server process as a whole, since its start."""

    uptimeSeconds = fields.Float(required=True)
    connections = fields.Integer(required=True, metadata={"description": "Open now"})
    connectionsTotal = fields.Integer(required=True, metadata={"description": "Opened since the start"})
    slowReadersClosed = fields.Integer(
        required=True, metadata={"description": "Closed because too much waited for them"}
    )
    messages = fields.Integer(required=True, metadata={"description": "Messages from clients"})
    publications = fields.Integer(required=True, metadata={"description": "Broadcasts that reached this process"})
    deliveries = fields.Integer(
        required=True, metadata={"description": "Frames for clients; one broadcast to ten clients is ten"}
    )
    writes = fields.Integer(required=True, metadata={"description": "Writes that carried them"})
    flushes = fields.Integer(required=True, metadata={"description": "How often pending frames were written out"})
    bytesQueued = fields.Integer(required=True, metadata={"description": "Bytes of all deliveries"})
    queueBytes = fields.Integer(required=True, metadata={"description": "Bytes that wait now, for all clients"})
    loopLag = fields.Nested(LagEntry, required=True)


class ConnectionEntry(Output):
    """One socket."""

    id = fields.String(required=True, metadata={"description": "As in the logs"})
    address = fields.String(required=True)
    username = fields.String(
        required=True, allow_none=True, metadata={"description": "Of a service, the subject of its token"}
    )
    messagesIn = fields.Integer(required=True, metadata={"description": "Messages that it has sent"})
    queueBytes = fields.Integer(required=True, metadata={"description": "Bytes that wait for it now"})
    connectedSeconds = fields.Float(required=True)
    channels = fields.List(fields.String(), required=True, metadata={"description": "What it is subscribed to"})


class ChannelEntry(Output):
    """A channel that has subscribers. When the last one leaves it is forgotten, and its counters with it."""

    app = fields.String(required=True)
    name = fields.String(required=True)
    subscribers = fields.Integer(required=True)
    publications = fields.Integer(required=True)
    deliveries = fields.Integer(required=True)


class BusiestData(Output):
    node = fields.Nested(NodeEntry, required=True)
    connections = fields.List(
        fields.Nested(ConnectionEntry),
        required=True,
        metadata={"description": "First those for which the most bytes wait, then those which have sent the most"},
    )
    channels = fields.List(
        fields.Nested(ChannelEntry),
        required=True,
        metadata={"description": "Those with the most deliveries first"},
    )


class BusiestAnswer(MessageAnswer):
    data = fields.Nested(BusiestData, required=True)


def busiest_data(busiest: Busiest, statistics: Statistics, now: float) -> dict[str, JSON]:
    """``now`` is the time of the clock by which the server and its connections started."""
    return {
        "node": _node_entry(statistics, busiest.queue_bytes, now),
        "connections": [_connection_entry(connection, queued, now) for connection, queued in busiest.connections],
        "channels": [_channel_entry(channel) for channel in busiest.channels],
    }


def _node_entry(statistics: Statistics, queue_bytes: int, now: float) -> dict[str, JSON]:
    lag = statistics.loop_lag
    return {
        "uptimeSeconds": _since(statistics.started_at, now),
        "connections": statistics.connections,
        "connectionsTotal": statistics.connections_total,
        "slowReadersClosed": statistics.closed[SlowConsumer.reason],
        "messages": statistics.messages.total(),
        "publications": statistics.publications,
        "deliveries": statistics.deliveries,
        "writes": statistics.writes,
        "flushes": statistics.flushes,
        "bytesQueued": statistics.bytes_queued,
        "queueBytes": queue_bytes,
        "loopLag": {"bounds": list(lag.bounds), "counts": list(lag.counts)},
    }


def _connection_entry(connection: Connection, queue_bytes: int, now: float) -> dict[str, JSON]:
    return {
        "id": connection.id,
        "address": connection.address,
        "username": connection.identity.username,
        "messagesIn": connection.messages_in,
        "queueBytes": queue_bytes,
        "connectedSeconds": _since(connection.connected_at, now),
        "channels": list(connection.subscriptions),
    }


def _channel_entry(channel: LocalChannel) -> dict[str, JSON]:
    app, name = channel.key
    return {
        "app": app,
        "name": name,
        "subscribers": channel.subscriber_count(),
        "publications": channel.publications,
        "deliveries": channel.deliveries,
    }


def _since(start: float, now: float) -> float:
    return round(now - start, 3)
