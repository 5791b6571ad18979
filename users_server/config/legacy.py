"""Keys of the original users server's config.json, and what became of them."""

from __future__ import annotations

_MAIL = 'Write "mail": {"transport": "smtp", "smtp": {"host": "…", "username": "…", "password": "…"}} instead'
_FILES = "This version stores no files; remove the key"
_COLLECTIONS = "The names of collections are fixed; remove the key"
_DATABASE = 'It is part of database.url now: "database": {"url": "mongodb://HOST:PORT/NAME"}'
_CHAIN = "Append it to the file that tls.certificate names; remove the key"
_TLS = 'TLS is on when tls is set: "tls": {"certificate": "FILE", "key": "FILE"}'

LEGACY_KEYS: dict[str, str] = {
    "portHTTP": "It is http.port now",
    "portHTTPS": "It is http.port now, which speaks TLS when tls.certificate is set",
    "ssl": _TLS,
    "sslKey": "It is tls.key now",
    "sslCert": "It is tls.certificate now",
    "sslRoot": _CHAIN,
    "sslIntermediate": _CHAIN,
    "sslPassPhrase": "It is tls.passphrase now",
    "hostName": "It is host now",
    "apiPrefix": "It is http.apiPrefix now",
    "restURL": "It is http.apiPrefix now",
    "approvedDomains": "It is http.approvedDomains now",
    "databaseHost": _DATABASE,
    "databasePort": _DATABASE,
    "databaseName": _DATABASE,
    "userCollection": _COLLECTIONS,
    "sessionCollection": _COLLECTIONS,
    "bucketsCollection": _COLLECTIONS,
    "filesCollection": _COLLECTIONS,
    "statsCollection": _COLLECTIONS,
    "sessionPath": "It is session.path now",
    "sessionDomain": "It is session.domain now",
    "sessionPersistent": "It is session.persistent now",
    "sessionLifetime": "It is session.lifetimeSeconds now",
    "captchaPublicKey": "The page with the widget needs it, this server does not; remove the key",
    "captchaPrivateKey": "It is captcha.secret now, with captcha.provider",
    "emailAdmin": "It is mail.webmaster now",
    "emailFrom": "It is mail.from now",
    "emailService": _MAIL,
    "emailServiceUser": _MAIL,
    "emailServicePassword": _MAIL,
    "google": "Mail is sent by mail.smtp; this version stores no files; remove the key",
    "bucket": _FILES,
    "keyFile": _FILES,
    "debugMode": 'Write "logging": {"level": "debug"} instead',
    "debug": 'Write "logging": {"level": "debug"} instead',
    "activationURL": "Links are made of http.publicURL and http.apiPrefix; accountRedirectURL is where people land",
    "websocket.host": "It is host now, at the top level",
    "websocket.ssl": _TLS,
    "session.sessionPath": "It is session.path now",
    "session.sessionDomain": "It is session.domain now",
    "session.sessionPersistent": "It is session.persistent now",
    "session.sessionLifetime": "It is session.lifetimeSeconds now",
    "session.lifetime": "It is session.lifetimeSeconds now",
}
