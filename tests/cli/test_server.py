"""The server's manners."""

import resource
import subprocess
import sys

SCRIPT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from app.cli.server import allow_many_files
allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_low_limit_of_open_files_is_raised_as_far_as_may_be() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout

    soft, hard = map(int, said.split())
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard))
