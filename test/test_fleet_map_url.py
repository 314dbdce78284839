# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Names of maps in a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.fleet.map_url import MapUrl, Region, is_url, parse_url
from floppynet_vpr.mapping import MapError
from floppynet_vpr.text import shown

_PLAIN = st.text(min_size=1, max_size=12).filter(lambda text: "\0" not in text)


def test_what_is_the_packages_is_taken_and_the_rest_left_to_libpq() -> None:
    url = parse_url(
        "postgresql://me@a:5432,b/fleet?sslmode=require&map=street&target_session_attrs=any"
    )
    assert url == MapUrl(
        "postgresql://me@a:5432,b/fleet?sslmode=require&target_session_attrs=any", "street"
    )
    assert url.is_whole


def test_session_and_region_are_chosen() -> None:
    url = parse_url("postgres:///fleet?service=x&map=a%26b&session=by%20night&near=1.5,-2,30")
    assert url == MapUrl("postgres:///fleet?service=x", "a&b", "by night", Region(1.5, -2, 30))
    assert not url.is_whole
    assert url.whole == MapUrl("postgres:///fleet?service=x", "a&b")


@given(_PLAIN)
def test_a_name_is_told_so_that_it_can_be_given_again(name: str) -> None:
    url = MapUrl("postgresql://me@host/fleet?sslmode=require", name, name, Region(1, 2, 3))
    assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:s3cr3t@host/fleet?map=street",
        "postgresql://me:s3cr3t@host/fleet?map=street&near=1,2,3",
        "postgresql://me:p@s3cr3t@host/fleet?map=street",
        "postgresql://host/fleet?user=me&password=s3cr3t&map=street",
        "postgresql://host/fleet?map=street&sslpassword=s3cr3t",
        "postgresql://me:s3cr3t@host/fleet",
        "postgresql://me:s3cr3t@host/fleet?map=",
        "postgresql://me:s3cr3t@host/fleet?map=street&near=here",
        "postgresql://me:s3cr3t@host:/x/y?map=a%00b",
    ],
)
def test_no_password_is_ever_told(text: str) -> None:
    try:
        url = parse_url(text)
        told = f"{url} {url!r} {url.scrubbed('libpq: no ' + text + ' or s3cr3t')}"
    except MapError as error:
        told = str(error)
    assert "s3cr3t" not in told


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "does not say which map"),
        ("?sslmode=require", "does not say which map"),
        ("?map=", "write map=VALUE once"),
        ("?map=a&map=b", "write map=VALUE once"),
        ("?map=a&near=1,2", "must be X,Y,RADIUS"),
        ("?map=a&near=1,2,0", "must be X,Y,RADIUS"),
        ("?map=a&near=1,2,nan", "must be X,Y,RADIUS"),
        ("?map=a%00", "zero byte"),
        ("@host/fleet?map=a", "as %40"),
    ],
)
def test_a_wrong_name_is_refused_with_what_is_wrong(query: str, reason: str) -> None:
    with pytest.raises(MapError, match=reason):
        parse_url(f"postgresql://me@host/fleet{query}")


def test_a_file_is_no_url() -> None:
    assert not is_url("maps/postgresql.fvm")
    assert is_url("postgresql:///fleet?map=a") and is_url("postgres://h/d?map=a")
    assert shown(str(parse_url("postgres:///d?map=a"))) == "postgres:///d?map=a"
