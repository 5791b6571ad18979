"""The configuration: one file of JSON with comments, environment variables over it, every mistake told in one line."""

from users_server.config.documents import configuration_document, effective_config, example_config
from users_server.config.loading import load_config
from users_server.config.mistakes import ConfigErrors, mask_url
from users_server.config.schemas import ConfigSchema
from users_server.config.settings import Config, DatabaseSettings, LoggingSettings
from users_server.services.settings import BrokerSettings

__all__ = [
    "BrokerSettings",
    "Config",
    "ConfigErrors",
    "ConfigSchema",
    "DatabaseSettings",
    "LoggingSettings",
    "configuration_document",
    "effective_config",
    "example_config",
    "load_config",
    "mask_url",
]
