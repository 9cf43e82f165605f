"""Stand-in for the relay: same paths, bodies, errors and headers, its own key check and its own bill.

It draws small pictures that show what was asked for, costs nothing and talks to nobody. `README.md` here lists the
hints, `[[sandbox key=value ...]]` in a prompt, that make one answer fail in a chosen way.
"""

from .records import BillLine, SandboxOptions, SeenFile, SeenRequest
from .relay import Sandbox
from .server import RunningSandbox, running_sandbox

__all__ = ["BillLine", "RunningSandbox", "Sandbox", "SandboxOptions", "SeenFile", "SeenRequest", "running_sandbox"]
