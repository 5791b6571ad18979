"""
Web hooks: calls of the endpoints of apps, each made at least once, those of one queue in their order.

=====================  ===============================================================
``service.py``         what protocols announce; starts and stops all the rest
``outbox_writer.py``   writes it, in groups
``dispatcher.py``      claims what is due and lets apps take turns
``app_work.py``        what is known of one app's endpoint
``delivering.py``      the calls of one claimed queue
``calls.py``           headers and signature of one call
``retries.py``         when a call is repeated, and when it is given up
``settling.py``        tells the store what became of claims, in groups
``wills.py``           processes that died, and what they had announced the end of
``deliveries.py``      what people ask: lists and replays
=====================  ===============================================================
"""

from users_server.services.webhooks.calls import CallFailed, CallsEndpoints
from users_server.services.webhooks.deliveries import WebhookDeliveryService
from users_server.services.webhooks.figures import WebhookFigures
from users_server.services.webhooks.service import WebhookService
from users_server.services.webhooks.settings import WebhookSettings

__all__ = [
    "CallFailed",
    "CallsEndpoints",
    "WebhookDeliveryService",
    "WebhookFigures",
    "WebhookService",
    "WebhookSettings",
]
