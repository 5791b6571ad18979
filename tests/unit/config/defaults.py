"""What a configuration is that says nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from users_server.config import Config


def defaults_in(folder: Path) -> Config:
    """All defaults; the key file of the apps and the folder of mails are beside the configuration, in ``folder``."""
    config = Config()
    return dataclasses.replace(
        config,
        apps=dataclasses.replace(config.apps, key_file=str(folder / config.apps.key_file)),
        mail=dataclasses.replace(config.mail, folder=str(folder / config.mail.folder)),
    )
