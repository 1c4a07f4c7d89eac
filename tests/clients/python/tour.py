"""What a Python program does with the client that openapi-python-client makes. Says in the end what it got."""

import sys
import time
from http import HTTPStatus
from io import BytesIO

from portico_client.api.auth import sign_in
from portico_client.api.files import get_content, upload_file
from portico_client.api.items import create_item, get_item, list_items, update_item
from portico_client.api.tasks import get_task, start_task
from portico_client.api.users import get_own_user, register_user
from portico_client.client import AuthenticatedClient, Client
from portico_client.models.credentials import Credentials
from portico_client.models.error_body import ErrorBody
from portico_client.models.export_result import ExportResult
from portico_client.models.file_response import FileResponse
from portico_client.models.item_body import ItemBody
from portico_client.models.item_list import ItemList
from portico_client.models.item_patch import ItemPatch
from portico_client.models.item_response import ItemResponse
from portico_client.models.registration import Registration
from portico_client.models.task_body import TaskBody
from portico_client.models.task_kind import TaskKind
from portico_client.models.task_response import TaskResponse
from portico_client.models.task_started_response import TaskStartedResponse
from portico_client.models.task_status import TaskStatus
from portico_client.models.token_response import TokenResponse
from portico_client.models.upload_file_body import UploadFileBody
from portico_client.models.user_response import UserResponse
from portico_client.types import File, Unset

ADDRESS, PASSWORD = "python@example.org", "Correct-Horse-42"


def tour(url: str) -> str:
    anybody = Client(base_url=url)
    registered = register_user.sync(
        client=anybody, body=Registration(email=ADDRESS, full_name="Grace", password=PASSWORD)
    )
    assert isinstance(registered, UserResponse)
    again = register_user.sync_detailed(client=anybody, body=Registration(email=ADDRESS, password=PASSWORD))
    assert again.status_code is HTTPStatus.CONFLICT
    assert isinstance(again.parsed, ErrorBody)
    assert again.parsed.code == "email_taken"

    pair = sign_in.sync(client=anybody, body=Credentials(email=ADDRESS, password=PASSWORD), user_agent="tour")
    assert isinstance(pair, TokenResponse)
    client = AuthenticatedClient(base_url=url, token=pair.access_token)
    me = get_own_user.sync(client=client)
    assert isinstance(me, UserResponse)
    assert me.id == registered.id

    milk = create_item.sync(client=client, body=ItemBody(title="Milk"), idempotency_key="milk")
    assert isinstance(milk, ItemResponse)
    bread = update_item.sync(milk.id, client=client, body=ItemPatch(title="Bread"), if_match=f'"{milk.version}"')
    assert isinstance(bread, ItemResponse)
    stale = update_item.sync(milk.id, client=client, body=ItemPatch(title="Tea"), if_match=f'"{milk.version}"')
    assert isinstance(stale, ErrorBody)
    assert stale.code == "version_mismatch"
    assert get_item.sync(milk.id, client=client) == bread
    listed = list_items.sync(client=client, q="bread")
    assert isinstance(listed, ItemList)
    files(client)
    return ", ".join(item.title for item in listed.items)


def files(client: AuthenticatedClient) -> None:
    """Up and down again, and the zip that a task makes."""
    sent = UploadFileBody(file=File(BytesIO(b"Earl Grey"), "tea.txt", "text/plain"))
    stored = upload_file.sync(client=client, body=sent)
    assert isinstance(stored, FileResponse)
    content = get_content.sync_detailed(stored.id, client=client)
    assert isinstance(content.parsed, File)
    assert content.parsed.payload.read() == b"Earl Grey"
    part = get_content.sync(stored.id, client=client, range_="bytes=-4")
    assert isinstance(part, File)
    assert part.payload.read() == b"Grey"
    gone = get_content.sync(stored.id + 1, client=client)
    assert isinstance(gone, ErrorBody)
    assert isinstance(gone.errors, Unset)

    started = start_task.sync(client=client, body=TaskBody(kind=TaskKind.EXPORT_ACCOUNT))
    assert isinstance(started, TaskStartedResponse)
    while isinstance(task := get_task.sync(started.task_id, client=client), TaskResponse):
        if task.status is TaskStatus.COMPLETED:
            assert isinstance(task.result, ExportResult)
            assert task.result.files == 1
            return
        time.sleep(0.1)
    raise AssertionError(task)


if __name__ == "__main__":
    print(tour(sys.argv[1]))
