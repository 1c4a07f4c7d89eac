"""A list walked by cursor while another party writes: what stays is seen exactly once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.items import ItemSort
from tests.http.three_apps import Apps, apps_on

SORTS: Final = [sort.value for sort in ItemSort]
TITLES: Final = st.sampled_from(["a", "b", "B", "\u00e9", "\U0001f95b", "_", "zz"])


@pytest.fixture
def apps(tmp_path: Path, sqlite_template: Path, migrated_postgres_url: str) -> Iterator[Apps]:
    with apps_on(tmp_path, sqlite_template, migrated_postgres_url) as apps:
        yield apps


@settings(
    max_examples=12,
    phases=[Phase.generate],  # whole walks over HTTP take too long to shrink
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), sort=st.sampled_from(SORTS), limit=st.integers(1, 4))
def test_every_row_that_stays_is_seen_exactly_once(apps: Apps, data: st.DataObject, sort: str, limit: int) -> None:
    ada = apps.new_user()
    ids: list[int] = [apps.create(ada, data.draw(TITLES))["id"] for _ in range(data.draw(st.integers(0, 8)))]
    stay, seen, cursor = set(ids), list[int](), None
    while True:
        query: dict[str, Any] = {"sort": sort, "limit": limit} | ({"cursor": cursor} if cursor else {})
        page = apps.same("GET", "/items/", ada, params=query).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        for _ in range(data.draw(st.integers(0, 2))):
            if data.draw(st.booleans()) and ids:
                gone = ids.pop(data.draw(st.integers(0, len(ids) - 1)))
                assert apps.same("DELETE", f"/items/{gone}", ada).status_code == 204
                stay.discard(gone)
            elif len(ids) < 20:
                ids.append(apps.create(ada, data.draw(TITLES))["id"])
        if len(seen) > 60:
            break
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)
