"""How sending can fail."""


class NotDelivered(Exception):
    """Whoever it was for may not have it. `final`: trying again cannot help. The message holds no secret."""

    def __init__(self, reason: str, *, final: bool = False):
        super().__init__(reason)
        self.reason = reason
        self.final = final
