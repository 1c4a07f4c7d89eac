"""From starting the process to the first answer, and what it takes of memory then."""

from pathlib import Path
from typing import Final

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import median_ratio
from tests.benchmarks.servers import portico, twin

LIMIT: Final = 1.1
MEMORY_LIMIT: Final = 110.0


def start_up(folder: Path, *, quick: bool) -> list[Figure]:
    """On SQLite, both asking it for their first answer. The first start of Portico makes the database, too."""
    url = f"sqlite+aiosqlite:///{folder / 'portico.db'}"
    warm = folder / "warm"
    warm.mkdir()
    with portico(warm) as server:  # which reads from the disk what every later start finds in memory
        memory = [server.memory()]
    with portico(folder) as server:
        first = server.start_seconds
        memory.append(server.memory())
    starts, firsts, empty = [], [], []
    for _ in range(4 if quick else 10):
        with portico(folder) as server:
            ours = server.start_seconds
            memory.append(server.memory())
        with twin("bare", folder, DATABASE_URL=url) as server:
            bare = server.start_seconds
        starts.append((ours, bare))
        firsts.append((first, bare))
        with twin("empty_house", folder, DATABASE_URL=url) as server:
            empty.append((server.start_seconds, bare))
    title = "Start to first answer, against a bare FastAPI app with a SQLModel async engine"
    return [
        Figure(title, median_ratio(starts), limit=LIMIT),
        Figure(f"{title}: the very first, which makes the database", median_ratio(firsts)),
        Figure(f"{title}: the same app with Portico's packages and none of its code", median_ratio(empty)),
        Figure("Idle memory", max(memory), "MB", MEMORY_LIMIT),
    ]
