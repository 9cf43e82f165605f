"""Program of the process that makes thumbnails. It runs at the lowest priority and reads one order a line from stdin: a JSON object
with `source` and `target`, two paths. Its answer is a line, too: the `bytes` of the thumbnail, or an `error`.

A picture that takes more than CPU_S of computing or MEMORY_BYTES_MAX ends the process. It imports nothing of the gateway.
"""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

SIDE_PX = 320
PIXELS_MAX = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
QUALITY = 80
CPU_S = 10.0
REST = 1.0
"""Rest after a picture, as a share of its time. Even the lowest priority shares caches and memory with requests for images."""
MEMORY_BYTES_MAX = 1024 * 1024 * 1024


def lower_priority() -> None:
    """Give way to everything else on the machine, and be the first that ends where memory runs out."""
    with suppress(OSError):
        os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_memory() -> None:
    """Let a picture that needs too much memory fail by itself."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def make(source: str, target: str) -> int:
    """Write the thumbnail of a picture as WebP, at most SIDE_PX wide and high; returns its bytes. The first image of a file that
    holds several counts. Raises any exception for a picture that cannot be decoded."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = PIXELS_MAX
    with Image.open(source, formats=FORMATS) as image:
        if image.width * image.height > PIXELS_MAX:
            raise ValueError(f"{image.width} x {image.height} pixels")
        if image.mode not in ("RGB", "RGBA", "L"):
            image.load()
            small = image.convert("RGBA" if image.has_transparency_data else "RGB")
        else:
            small = image
        small.thumbnail((SIDE_PX, SIDE_PX), reducing_gap=2.0)
        ImageOps.exif_transpose(small).save(target, "WEBP", quality=QUALITY, exif=b"")
    return Path(target).stat().st_size


def main() -> None:
    lower_priority()
    import PIL.Image  # noqa: F401  # before the limits, which are for pictures

    limit_memory()
    for line in sys.stdin:
        order, began_s = json.loads(line), time.monotonic()
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, CPU_S)
        try:
            answer: dict[str, object] = {"bytes": make(order["source"], order["target"])}
        except FileNotFoundError:
            answer = {"gone": True}
        except Exception as exc:
            answer = {"error": f"{type(exc).__name__}: {exc}"[:200]}
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(answer), flush=True)
        time.sleep(REST * (time.monotonic() - began_s))


if __name__ == "__main__":
    main()
