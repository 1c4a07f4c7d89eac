"""Rooms, by the names of their channels."""

import pytest

from domain.channels import ChannelNotAllowed, room_of


@pytest.mark.parametrize("channel", ["room:1", "room:" + "x" * 100, "room:Küche 🥛", "room:room:"])
def test_any_name_of_up_to_100_characters_is_a_room(channel: str) -> None:
    assert room_of(channel) == channel


@pytest.mark.parametrize("channel", ["", "items", "Room:1", "room:", "room: ", "room:a\nb", "room:" + "x" * 101])
def test_what_is_no_name_of_a_room_is_refused(channel: str) -> None:
    with pytest.raises(ChannelNotAllowed):
        room_of(channel)
