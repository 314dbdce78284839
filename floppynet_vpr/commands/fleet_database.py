# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`fleet_database`: prepares a PostgreSQL database for the map of a fleet."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from functools import partial

from floppynet_vpr.commands.common import command, make_parser
from floppynet_vpr.fleet.map_url import MapUrl, parse_url


def build_parser() -> argparse.ArgumentParser:
    from floppynet_vpr.fleet.schema import RIGHTS

    parser = make_parser(
        "fleet_database",
        "Prepare a PostgreSQL database (14 or newer) for maps that many robots share. init makes "
        "the tables, grant lets a role use them: a reader recognises places, a writer adds places "
        "and calibrations too, an admin may also remove maps. Roles are made with createuser. "
        "Passwords belong in ~/.pgpass or in PGPASSFILE, not on a command line. From then on "
        "postgresql://USER@HOST/DATABASE?map=NAME can stand wherever a map file can.",
        "  createdb -U postgres fleet && createuser -U postgres robot\n"
        "  ros2 run floppynet_vpr fleet_database init postgresql://postgres@localhost/fleet\n"
        "  ros2 run floppynet_vpr fleet_database grant postgresql://postgres@localhost/fleet "
        "robot writer\n"
        "  ros2 run floppynet_vpr build_map lap_1/ -o "
        "'postgresql://robot@localhost/fleet?map=street'\n"
        "  ros2 run floppynet_vpr fleet_database list postgresql://robot@localhost/fleet",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("init", "make the tables, where they are not there yet"),
        ("grant", "let a role use them; what it could do before is taken back"),
        ("index", "make the index that search:=server asks, of one map; needs pgvector"),
        ("list", "name the maps, their sessions and places"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument(
            "database",
            type=parse_url if name == "index" else partial(parse_url, map_needed=False),
            metavar="URL",
            help="postgresql://user@host/database, with all that libpq knows"
            + ("; and ?map=NAME" if name == "index" else ""),
        )
        if name == "grant":
            action.add_argument("role", metavar="ROLE", help="a role that exists")
            action.add_argument("right", choices=RIGHTS, help="what it may do")
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.fleet.connection import connect
    from floppynet_vpr.fleet.database_map import list_maps
    from floppynet_vpr.fleet.schema import VERSION, create_schema, grant
    from floppynet_vpr.fleet.server_search import make_index

    url: MapUrl = arguments.database
    with closing(connect(url)) as connection:
        if arguments.action == "init":
            made = create_schema(connection, url)
            print(f"{url}: {'made' if made else 'has'} the tables, version {VERSION}")
        elif arguments.action == "grant":
            grant(connection, url, arguments.role, arguments.right)
            print(f"{url}: {arguments.role} is {arguments.right} now")
        elif arguments.action == "index":
            print(f"{url}: has the index {make_index(connection, url)}")
        else:
            for line in list_maps(connection, url):
                print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
