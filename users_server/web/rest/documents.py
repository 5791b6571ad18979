"""What the API is, for programs and for people."""

from __future__ import annotations

from users_server.web.route import BareAnswer, Call


async def get_openapi(call: Call) -> BareAnswer:
    return BareAnswer(call.context.documents.openapi)


async def get_docs(call: Call) -> BareAnswer:
    documents = call.context.documents
    headers = {"Content-Security-Policy": documents.page_policy, "Referrer-Policy": "no-referrer"}
    return BareAnswer(documents.page, "text/html; charset=utf-8", headers)
