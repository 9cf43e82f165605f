"""imagegate: a gateway between a team and paid image models."""

__version__ = "0.1.0"
