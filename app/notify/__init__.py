"""Senders of alert messages: signed webhooks, mail, and chat robots. The rules of alerts are elsewhere."""

from app.notify.notifier import Mailbox, NotDelivered, Notifier, WebhookRules

__all__ = ["Mailbox", "NotDelivered", "Notifier", "WebhookRules"]
