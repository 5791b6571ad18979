"""
The store on a server that speaks MongoDB's protocol: MongoDB from 5.0, or FerretDB from 1.24.

Rules of this folder:

- It is the only importer of motor, pymongo and bson.
- ``users`` and ``sessions`` are functions of a database; :class:`~.client.Client` calls them, bounds them in number and
  time, and turns the driver's errors into ours.
- Nothing is used that FerretDB lacks: no collations, transactions, TTL indexes, change streams or text indexes. Names
  without case are kept folded in fields of their own (``username_key``, ``email_key``) with unique indexes.
- A user's meta data is kept as JSON text. As a BSON document it would not come back the same: its keys may hold dots,
  begin with dollars or be empty, and its integers may be too large for BSON.
- A client's text is a value in a query, never an operator, and never a pattern (``users.literal_pattern``).
- FerretDB 1 does not change a document atomically: it reads, computes, and writes the whole, so two changes at once can
  lose one, and two can both find what only one should. Its inserts and deletions are atomic. So what is promised to
  exactly one caller is decided by an insert or by a deletion that counts, and changes of one document take turns within
  a process. On MongoDB the same statements are atomic by themselves, between any number of nodes; several nodes on
  FerretDB 1 are not safe, which the log says at the start.
"""

from users_server.backends.mongodb.location import parse_mongodb_url
from users_server.backends.mongodb.storage import GridFileStorage
from users_server.backends.mongodb.store import MongoStore

__all__ = ["GridFileStorage", "MongoStore", "parse_mongodb_url"]
