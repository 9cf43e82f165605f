"""Every measurement as JSON, with the machine it was made on."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.rounds import Measurement
from benchmarks.targets import ROOT


def about_this_run(rounds: int) -> dict[str, Any]:
    described = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": described.stdout.strip() or None,
        "rounds": rounds,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_mib": psutil.virtual_memory().total // 1024 // 1024,
    }


def write_json(file: Path, about: dict[str, Any], found: Sequence[Measurement]) -> None:
    file.write_text(json.dumps(about | {"measurements": [one.document() for one in found]}, indent=1) + "\n")
