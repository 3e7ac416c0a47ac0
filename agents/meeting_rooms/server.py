"""An MCP server for meeting rooms, over stdio: a small one, to show how an agent uses such a server.

It stands for one that somebody else wrote: it knows nothing of Lastmile. Its state is the SQLite file $ROOMS_DB.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel

SCHEMA = """
create table if not exists bookings (id text primary key, reference text unique, room text, day text, hour int,
  title text, unique (room, day, hour));
create table if not exists invitations (number integer primary key, booking text, recipient text, reference text);
"""
BOOK = """
insert into bookings select printf('b%04d', coalesce(max(rowid), 0) + 1), ?, ?, ?, ?, ? from bookings where true
on conflict (reference) do nothing
"""
SEATS = {"Ada": 6, "Grace": 12}

server = MCPServer("meeting rooms")


class Room(BaseModel):
    """A room, and how many people it seats."""

    name: str
    seats: int


class Booking(BaseModel):
    """A room for one hour; `hour`: 0 to 23."""

    id: str
    room: str
    day: str
    hour: int
    title: str


class Invitation(BaseModel):
    """An invitation that was sent."""

    booking: str
    to: str
    reference: str


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """Open the file, commit what is done in it, and close it."""
    connection = sqlite3.connect(os.environ["ROOMS_DB"], timeout=5)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def list_rooms() -> list[Room]:
    """List the meeting rooms and their seats."""
    return [Room(name=name, seats=seats) for name, seats in SEATS.items()]


@server.tool()
def book_room(room: str, day: str, hour: int, title: str, reference: str) -> Booking:
    """Book a room for one hour. A reference that was used before returns the booking that it made."""
    if room not in SEATS:
        raise ToolError(f"there is no room {room}")
    with database() as db:
        try:
            db.execute(BOOK, (reference, room, day, hour, title))
        except sqlite3.IntegrityError:
            raise ToolError(f"{room} is taken on {day} at {hour}:00") from None
        row = db.execute("select id, room, day, hour, title from bookings where reference = ?", (reference,)).fetchone()
    return Booking(**dict(row))


@server.tool()
def invite(booking: str, to: str, reference: str = "") -> Invitation:
    """Send an invitation to a booked meeting. Each call sends one."""
    with database() as db:
        if not db.execute("select 1 from bookings where id = ?", (booking,)).fetchone():
            raise ToolError(f"there is no booking {booking}")
        db.execute("insert into invitations values (null, ?, ?, ?)", (booking, to, reference))
    return Invitation(booking=booking, to=to, reference=reference)


@server.tool()
def cancel_booking(booking: str) -> str:
    """Give a booked room back. One that was given back before stays so."""
    with database() as db:
        db.execute("delete from bookings where id = ?", (booking,))
    return booking


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def list_invitations(booking: str) -> list[Invitation]:
    """List the invitations that were sent to a meeting."""
    select = "select booking, recipient as 'to', reference from invitations where booking = ? order by number"
    with database() as db:
        return [Invitation(**dict(row)) for row in db.execute(select, (booking,))]


if __name__ == "__main__":
    with database() as db:
        db.executescript(SCHEMA)
    server.run()
