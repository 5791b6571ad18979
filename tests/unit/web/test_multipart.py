"""A form read in pieces is the same however it was cut, and nothing that is no form is taken for one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from users_server.errors import ClientError
from users_server.web.multipart import read_parts

CONTENT = b"--edge\r\n-almost the boundary\r\n--edg\r\n" + bytes(range(256))
FORM = (
    b"--edge-of-the-tests\r\n"
    b'Content-Disposition: form-data; name="field"\r\n\r\n'
    b"value\r\n"
    b"--edge-of-the-tests\r\n"
    b'Content-Disposition: form-data; name="file"; filename="a \\"b\\".txt"\r\n'
    b"Content-Type: text/plain\r\n\r\n" + CONTENT + b"\r\n"
    b"--edge-of-the-tests\r\n"
    b'content-disposition: form-data; name="empty"; filename="\xc3\x9f"\r\n\r\n'
    b"\r\n"
    b"--edge-of-the-tests--\r\n"
)
TYPE = "multipart/form-data; boundary=edge-of-the-tests"
EXPECTED = [
    ("field", None, None, b"value"),
    ("file", 'a "b".txt', "text/plain", CONTENT),
    ("empty", "ß", None, b""),
]


async def cut(body: bytes, places: list[int]) -> AsyncIterator[bytes]:
    edges = [0, *sorted(places), len(body)]
    for start, end in itertools.pairwise(edges):
        if start < end:
            yield body[start:end]


async def collect(body: AsyncIterator[bytes]) -> list[tuple[str, str | None, str | None, bytes]]:
    return [
        (part.name, part.filename, part.content_type, b"".join([chunk async for chunk in part.chunks()]))
        async for part in read_parts(TYPE, body)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(FORM)), max_size=12))
def test_cuts_make_no_difference(places: list[int]) -> None:
    assert asyncio.run(collect(cut(FORM, places))) == EXPECTED


def test_single_bytes() -> None:
    assert asyncio.run(collect(cut(FORM, list(range(len(FORM)))))) == EXPECTED


def test_what_is_not_taken_is_passed_over() -> None:
    async def names() -> list[str]:
        return [part.name async for part in read_parts(TYPE, cut(FORM, [100, 200]))]

    assert asyncio.run(names()) == ["field", "file", "empty"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(FORM) - 5))
def test_a_form_that_ends_too_early_is_refused(end: int) -> None:
    with pytest.raises(ClientError):
        asyncio.run(collect(cut(FORM[:end], [])))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(ClientError):
        asyncio.run(collect(cut(noise, [len(noise) // 2])))
