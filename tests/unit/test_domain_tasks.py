from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tasks import Task, TaskFinished, TaskId, TaskKind, TaskStatus
from domain.users import UserId

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENDED: Final = {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}

Step = Callable[[Task], None]
steps = st.one_of(
    st.just(lambda task: task.begin(NOW)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda n: lambda task: task.advance(n, "At it")),
    st.integers(-1, 101).map(lambda n: lambda task: task.advance(n, "At it")),
    st.just(lambda task: task.complete({"n": 1}, "Done", NOW)),
    st.just(lambda task: task.fail("broken", "Broken", NOW)),
    st.just(lambda task: task.cancel(NOW)),
)


def a_task() -> Task:
    return Task(id=TaskId("a"), owner_id=UserId(1), kind=TaskKind.EXPORT_ACCOUNT, created_at=NOW - timedelta(minutes=1))


@given(st.lists(steps, max_size=12))
def test_whatever_is_done_with_a_task_it_ends_once_and_its_progress_never_falls(done: list[Step]) -> None:
    task = a_task()
    for step in done:
        before = replace(task)
        if before.has_ended:
            with pytest.raises(TaskFinished):
                step(task)
            assert task == before
        else:
            step(task)
        assert before.progress <= task.progress <= 100
        assert (task.status is TaskStatus.COMPLETED) == (task.progress == 100) == (task.result is not None)
        assert (task.status is TaskStatus.FAILED) == (task.error is not None)
        assert task.has_ended == (task.status in ENDED)
        assert (task.started_at is not None) == (task.attempts > 0)
