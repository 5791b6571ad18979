"""marshmallow shapes shared by the HTTP API and the protocols. Input and output schemas are separate classes."""
