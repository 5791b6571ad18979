"""
Files in a bucket of Amazon S3, or of a server that speaks the same: MinIO, Ceph, Garage.

Needs the extra ``users-server[s3]`` and is loaded only where the configuration names it. Rules of this folder: botocore
is called in the threads of :class:`~users_server.backends.s3.client.Client` alone; names of objects are made of keys
that the server has made, never of what a client sent.
"""

from users_server.backends.s3.storage import S3FileStorage

__all__ = ["S3FileStorage"]
