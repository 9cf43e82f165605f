"""Messages to the outside: signed webhooks, mail, and the robots of chat programs. Knows nothing of alerts' rules."""

from app.notify.courier import Courier, Mailbox, NotDelivered, WebhookRules

__all__ = ["Courier", "Mailbox", "NotDelivered", "WebhookRules"]
