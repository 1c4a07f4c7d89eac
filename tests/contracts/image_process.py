"""A process that looks at the images named on the command line; `test_hostile_images.py` starts it.

Each is allowed two seconds of the processor: the kernel ends a process that takes more. For each it writes one line of
JSON: what came of looking at it and of making it small, and by how many bytes the memory's peak has grown so far.
"""

import json
import resource
import sys
from pathlib import Path

from adapters.images.pillow import PillowImages
from domain.images import InvalidImage

SECONDS = 2


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_processor() -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    allowed = int(usage.ru_utime + usage.ru_stime) + 1 + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.RLIM_INFINITY))


def look(images: PillowImages, content: bytes) -> list[str]:
    outcomes = []
    for work in (images._examine, lambda content: images._thumbnail(content, 256)):
        try:
            work(content)
            outcomes.append("read")
        except InvalidImage:
            outcomes.append("refused")
    return outcomes


def main(honest: str, *paths: str) -> None:
    images = PillowImages()
    assert look(images, Path(honest).read_bytes()) == ["read", "read"]  # what is loaded first is no file's fault
    before = peak()
    for path in paths:
        content = Path(path).read_bytes()
        limit_processor()
        print(json.dumps([look(images, content), peak() - before]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
