"""Error of sending a message."""


class NotDelivered(Exception):
    """Failure to send; the receiver may not have the message. `final`: a retry cannot help. `reason` contains no secret."""

    def __init__(self, reason: str, *, final: bool = False):
        super().__init__(reason)
        self.reason = reason
        self.final = final
