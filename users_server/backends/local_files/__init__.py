"""
The embedded storage: files in a folder, nothing to install.

Rules of this folder: the disk is touched in the threads of :class:`LocalFileStorage` alone; names are made of keys that
the server has made, never of what a client sent.
"""

from users_server.backends.local_files.storage import LocalFileStorage

__all__ = ["LocalFileStorage"]
