"""Background tasks over HTTP."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from application.tasks import CancelTask, GetTask, ListTasks, StartTask
from domain.files import FileNotFound
from domain.ids import GREATEST_ID
from domain.tasks import Task, TaskFinished, TaskKind, TaskNotFound, TaskStatus, TooManyTasks
from entrypoints.http.bodies import Route, not_allowed
from entrypoints.http.dependencies import CurrentActor, use
from entrypoints.http.documentation import SIGNED_IN, Message, errors
from entrypoints.http.fields import RequestModel, Text
from entrypoints.http.idempotency import IDEMPOTENT, REPLAYED, Once
from entrypoints.http.lists import ListResponse, PageParameters

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=Route)

TASK_ID: Final = "7c9e6679f7e44c1c8f0d0a3a6c1e2b54"


class NoParams(RequestModel):
    """There is nothing to say."""


class ImportParams(RequestModel):
    file_id: Annotated[int, Field(ge=1, le=GREATEST_ID, description="A CSV file of one's own.")]


PARAMS: Final[Mapping[TaskKind, type[RequestModel]]] = {
    TaskKind.EXPORT_ACCOUNT: NoParams,
    TaskKind.IMPORT_ITEMS: ImportParams,
}
"""What each kind of task is told."""

TOLD: Final = "`export_account` needs none; `import_items` needs `file_id`, a CSV file of one's own."


class ExportResult(BaseModel):
    file_id: Annotated[int, Field(description="The zip, as a file of one's own.")]
    size: Annotated[int, Field(description="Bytes.")]
    items: int
    files: int


class RejectedRow(BaseModel):
    line: Annotated[int, Field(description="In the file; its header is line 1.", examples=[7])]
    reason: Annotated[str, Field(examples=["The title must not be blank"])]


class ImportResult(BaseModel):
    created: Annotated[int, Field(examples=[11998])]
    created_by_other_tasks: Annotated[int, Field(description="From the same file, before.", examples=[0])]
    rejected: Annotated[int, Field(examples=[1])]
    errors: Annotated[
        list[RejectedRow],
        Field(description="Of the first rows rejected."),
    ]


RESULTS: Final[Mapping[TaskKind, type[ExportResult | ImportResult]]] = {
    TaskKind.EXPORT_ACCOUNT: ExportResult,
    TaskKind.IMPORT_ITEMS: ImportResult,
}
"""What each kind of task brings about."""


class TaskBody(RequestModel):
    kind: Annotated[TaskKind, Field(strict=False, examples=["import_items"])]
    params: Annotated[dict[str, Any], Field(default_factory=dict, description=TOLD, examples=[{"file_id": 1}])]

    def checked_params(self) -> dict[str, Any]:
        """Raises a 422 for what this kind of task doesn't take."""
        try:
            return PARAMS[self.kind].model_validate(self.params).model_dump()
        except ValidationError as error:
            errors = [{**one, "loc": ("body", "params", *one["loc"])} for one in error.errors()]
            raise RequestValidationError(errors) from None


class TaskStartedResponse(BaseModel):
    task_id: Annotated[str, Field(examples=[TASK_ID])]
    status: TaskStatus


class TaskResponse(BaseModel):
    task_id: Annotated[str, Field(examples=[TASK_ID])]
    kind: TaskKind
    status: TaskStatus
    progress: Annotated[int, Field(ge=0, le=100, examples=[40])]
    message: Annotated[str | None, Field(examples=["Rows done: 12000"])]
    result: ImportResult | ExportResult | None
    error: Annotated[str | None, Field(examples=[None])]
    attempts: Annotated[int, Field(examples=[1])]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, task: Task) -> "TaskResponse":
        return cls(
            task_id=task.id,
            kind=task.kind,
            status=task.status,
            progress=task.progress,
            message=task.message,
            result=None if task.result is None else RESULTS[task.kind].model_validate(task.result),
            error=task.error,
            attempts=task.attempts,
            created_at=task.created_at,
            started_at=task.started_at,
            finished_at=task.finished_at,
        )


@router.post(
    "/start",
    status_code=202,
    response_model=TaskStartedResponse,
    responses=errors(*SIGNED_IN, *IDEMPOTENT, FileNotFound, TooManyTasks, json_body=True, idempotent=True)
    | {202: {"headers": REPLAYED}},
)
async def start_task(
    *, actor: CurrentActor, body: TaskBody, start: Annotated[StartTask, use("start_task")], once: Once
) -> Response:
    """Start work that outlives the request: a zip of one's account, or an import of items from a CSV file."""

    def answer(task: Task) -> Response:
        started = TaskStartedResponse(task_id=task.id, status=task.status)
        return Response(started.model_dump_json(), 202, media_type="application/json")

    params = body.checked_params()
    return await once(lambda also: start(actor, body.kind, params, also=also), answer)


router.add_api_route("/start", not_allowed, methods=["GET", "DELETE"], include_in_schema=False)


@router.get("/", responses=errors(*SIGNED_IN, validated=True))
async def list_tasks(
    actor: CurrentActor, paging: PageParameters, list_them: Annotated[ListTasks, use("list_tasks")]
) -> ListResponse[TaskResponse]:
    """One's own tasks, newest first."""
    listed = ("tasks", f"{actor.user.id}")
    page = await list_them(actor, paging.request(*listed))
    return paging.response(page, [TaskResponse.of(task) for task in page.items], *listed)


@router.get("/{task_id}", responses=errors(*SIGNED_IN, TaskNotFound, validated=True))
async def get_task(task_id: Text, actor: CurrentActor, get: Annotated[GetTask, use("get_task")]) -> TaskResponse:
    """How one of one's own tasks stands."""
    return TaskResponse.of(await get(actor, task_id))


@router.delete("/{task_id}", status_code=202, responses=errors(*SIGNED_IN, TaskNotFound, TaskFinished, validated=True))
async def cancel_task(task_id: Text, actor: CurrentActor, cancel: Annotated[CancelTask, use("cancel_task")]) -> Message:
    """Cancel one of one's own tasks. What it has brought about stays."""
    await cancel(actor, task_id)
    return Message(message="The task is cancelled")
