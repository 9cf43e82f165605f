"""Count of the kept pictures that are to be removed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DuePictures:
    """Pictures that a prune would remove: those kept no longer, those above the cap, and the bytes of the files that go with them.
    Equal pictures share a file."""

    expired: int
    expired_bytes: int
    above: int
    above_bytes: int
    file_bytes: int
