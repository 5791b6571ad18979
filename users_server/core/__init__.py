"""The core: connections, channels and publications. No Tornado, no database, no marshmallow, no JSON."""
