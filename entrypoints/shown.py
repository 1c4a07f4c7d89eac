"""How things are shown to those whom they concern, wherever that is: in the very shape that the API answers them in."""

from domain.items import Item


def show(thing: object) -> str:
    """The JSON of a thing, as the API answers it. Raises `TypeError` for one that it never shows."""
    if isinstance(thing, Item):
        from entrypoints.http.items import ItemResponse  # brings the web framework, which no command needs to start

        return ItemResponse.of(thing).model_dump_json()
    raise TypeError(f"{type(thing).__name__} is never shown")
