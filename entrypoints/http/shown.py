"""How things are shown to those whom they concern, wherever that is: in the very shape that the API answers them in."""

from domain.files import File
from domain.items import Item
from domain.tasks import Task


class Shown:
    """Implements `Show`, with the API under the path `api`. What it needs brings the web framework: no command waits
    for that at its start."""

    def __init__(self, api: str) -> None:
        self._api = api

    def __call__(self, thing: object) -> str:
        """Raises `TypeError` for a thing that is never shown."""
        match thing:
            case Item():
                from entrypoints.http.items import ItemResponse

                return ItemResponse.of(thing).model_dump_json()
            case File():
                from entrypoints.http.files import FileResponse

                return FileResponse.of(thing, self._api).model_dump_json()
            case Task():
                from entrypoints.http.tasks import TaskResponse

                return TaskResponse.of(thing).model_dump_json()
        raise TypeError(f"{type(thing).__name__} is never shown")
