"""Messages to the outside: signed webhooks, mail, and the robots of chat programs. Knows nothing of alerts' rules."""

from app.notify.notifier import Mailbox, NotDelivered, Notifier, WebhookRules

__all__ = ["Mailbox", "NotDelivered", "Notifier", "WebhookRules"]
