"""What a Python program does with the client that openapi-python-client makes. Says in the end what it got."""

import sys
from http import HTTPStatus

from portico_client.api.auth import sign_in
from portico_client.api.items import create_item, get_item, list_items, update_item
from portico_client.api.users import get_own_user, register_user
from portico_client.client import AuthenticatedClient, Client
from portico_client.models.error_body import ErrorBody
from portico_client.models.item_body import ItemBody
from portico_client.models.item_list import ItemList
from portico_client.models.item_patch import ItemPatch
from portico_client.models.item_response import ItemResponse
from portico_client.models.registration import Registration
from portico_client.models.sign_in_json_credentials import SignInJsonCredentials
from portico_client.models.token_response import TokenResponse
from portico_client.models.user_response import UserResponse

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

    pair = sign_in.sync(client=anybody, body=SignInJsonCredentials(email=ADDRESS, password=PASSWORD), user_agent="tour")
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
    return ", ".join(item.title for item in listed.items)


if __name__ == "__main__":
    print(tour(sys.argv[1]))
