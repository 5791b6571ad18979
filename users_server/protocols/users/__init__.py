"""The Users Socket API: numeric ``eventType`` messages. Start reading at ``events.py``."""
