"""
The import of another server's database: records, contents of files, and a report of all that could not be taken.

Rule: an import may be ended at any moment and begun again; what it has done before, it does not do twice.
"""

from users_server.services.importing.contents import ContentFolder
from users_server.services.importing.importer import COLLECTIONS, Importer, ImportSettings
from users_server.services.importing.rehearsal import Rehearsal, RehearsalStorage
from users_server.services.importing.report import ImportReport

__all__ = [
    "COLLECTIONS",
    "ContentFolder",
    "ImportReport",
    "ImportSettings",
    "Importer",
    "Rehearsal",
    "RehearsalStorage",
]
