"""What travels over Redis, also between nodes of two versions."""

from __future__ import annotations

import pytest

from users_server.backends.redis.payloads import decode_change, decode_claim, decode_member, encode_member
from users_server.core.messages import Member

INFO = {"name": "Änne", "tags": [1, 2.5, None]}


@pytest.mark.parametrize("ref", ["", "Zm9vYmFyYmF6cXV4"])
def test_a_member_comes_back_as_it_went(ref: str) -> None:
    member = Member("c1", "u1", INFO, ref)
    assert decode_member(encode_member(member)) == member


def test_a_member_without_a_ref_looks_as_it_always_did() -> None:
    assert encode_member(Member("c1", "u1", {"n": 1})) == b'["c1","u1",{"n":1}]'


def test_what_versions_without_refs_have_written_is_read() -> None:
    assert decode_member(b'["c1","u1",null]') == Member("c1", "u1")
    assert decode_claim(b'17 node.1 2 u1["c1","u1",null]') == (17, Member("c1", "u1"))
    change = decode_change("app", "room", b'l1 5 epoch ["c1","u1",{"n":1}]')
    assert change.member == Member("c1", "u1", {"n": 1})
    assert not change.is_join


def test_what_later_versions_may_add_is_ignored() -> None:
    assert decode_member(b'["c1","u1",null,"ref",{"more":1}]') == Member("c1", "u1", ref="ref")


@pytest.mark.parametrize("text", [b'["c1","u1"]', b"{", b"[]"])
def test_what_is_no_member_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        decode_member(text)
