"""Each service's OpenAPI 3.1 document, generated from its endpoints, and a page to browse it."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REF = "#/components/schemas/{model}"
VERSION = "0.1.0"

ERROR = {
    "type": "object",
    "required": ["success", "error", "code"],
    "properties": {
        "success": {"const": False},
        "error": {"type": "string", "description": "A human-readable sentence"},
        "code": {"type": "string", "description": "A machine-readable code, snake_case"},
        "data": {
            "type": "object",
            "description": "Where needed, more about the error, such as an unfinished sync's id",
        },
    },
}

SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "basic": {"type": "http", "scheme": "basic"},
}

STRICT = {400: "A parameter is unknown, or not as described"}
"""Added for endpoints with parameters."""

READING = {
    408: "The body did not arrive in time",
    413: "The body is larger than this service accepts",
}
"""Added for endpoints that read a body."""
UNSIGNED = {401: "There is no valid token"}
"""Added for endpoints that need a token."""

CONDITION = {
    "If-None-Match": {
        "type": "string",
        "description": "ETag of an earlier answer: 304 if nothing has changed since",
    }
}
"""Accepted wherever 304 may be answered."""
UNCHANGED = 304
ETAG = {"ETag": "Identifies the content, for If-None-Match"}
RETRY = {"Retry-After": "Seconds to wait before retrying"}
NAMED = {200, UNCHANGED}
RETRIED = {429, 503}

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="ui"></div><script src="/docs/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({{url: "/openapi.json", dom_id: "#ui"}})</script></body></html>
"""


class Events(str):
    """Describes a stream of server-sent events."""

    __slots__ = ()


class Bodiless(str):
    """Describes an answer without a body."""

    __slots__ = ()


class UuidParameter(str):
    """Describes a UUID in the path."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route, with everything that its documentation says."""

    method: str
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, type[BaseModel] | str]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    needs_body: bool = True
    """Whether the body is required, if there may be one."""
    auth: str | None = "bearer"
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    beside: type[BaseModel] | None = None
    """Fields beside `data`."""
    headers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Request headers that are used, besides credentials: names and schemas."""
    told: Mapping[str, str] = field(default_factory=dict)
    """Headers that an answer may have, with descriptions."""


def document(title: str, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    models = sorted(_models(endpoints), key=lambda model: model.__name__)
    schemas, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=REF
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, schemas)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION},
        "paths": paths | _common_paths(),
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Error": ERROR},
            "securitySchemes": SECURITY,
        },
    }


def _models(endpoints: Sequence[Endpoint]) -> set[type[BaseModel]]:
    found: set[type[BaseModel]] = set()
    for endpoint in endpoints:
        found |= {m for m in (endpoint.query, endpoint.body, endpoint.beside) if m is not None}
        found |= {m for m in endpoint.answers.values() if not isinstance(m, str)}
    return found


def _operation(endpoint: Endpoint, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    answers = {
        **({**STRICT, **UNSIGNED} if endpoint.auth == "bearer" else {}),
        **(READING if endpoint.body is not None else {}),
        **endpoint.answers,
    }
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.handler.__name__,
        "parameters": [
            *_path_parameters(endpoint),
            *_query_parameters(endpoint),
            *_header_parameters(endpoint),
        ],
        "responses": {
            str(status): _response(answer, schemas, endpoint.beside)
            | {"headers": _headers(endpoint, status)}
            for status, answer in sorted(answers.items())
        },
    }
    if endpoint.auth:
        operation["security"] = [{endpoint.auth: []}]
    if endpoint.body is not None:
        schema = schemas[endpoint.body, "validation"]
        operation["requestBody"] = {
            "required": endpoint.needs_body,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _path_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", endpoint.path):
        description = endpoint.path_parameters.get(name, "")
        kind = {"format": "uuid"} if isinstance(description, UuidParameter) else {}
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": str(description),
            "schema": {"type": "string", **kind},
        }


def _query_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    if endpoint.query is None:
        return
    schema = endpoint.query.model_json_schema(ref_template=REF)
    for name, of_one in schema.get("properties", {}).items():
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": of_one.pop("description", ""),
            "schema": of_one,
        }


def _header_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    known = {**endpoint.headers, **(CONDITION if UNCHANGED in endpoint.answers else {})}
    for name, of_one in known.items():
        schema = dict(of_one)
        description = schema.pop("description", "")
        yield {"name": name, "in": "header", "description": description, "schema": schema}


def _headers(endpoint: Endpoint, status: int) -> dict[str, Any]:
    told = {
        **endpoint.told,
        **(ETAG if UNCHANGED in endpoint.answers and status in NAMED else {}),
        **(RETRY if status in RETRIED else {}),
    }
    return {
        name: {"description": words, "schema": {"type": "string"}} for name, words in told.items()
    }


def _response(
    answer: type[BaseModel] | str, schemas: Mapping[Any, Any], beside: type[BaseModel] | None
) -> dict[str, Any]:
    if isinstance(answer, Bodiless):
        return {"description": str(answer)}
    if isinstance(answer, Events):
        text = {"text/event-stream": {"schema": {"type": "string"}}}
        return {"description": str(answer), "content": text}
    if isinstance(answer, str):
        refused = {"$ref": "#/components/schemas/Error"}
        return {"description": answer, "content": {"application/json": {"schema": refused}}}
    schema: Any = {
        "type": "object",
        "required": ["success", "data"],
        "properties": {"success": {"const": True}, "data": schemas[answer, "validation"]},
    }
    if beside is not None:
        schema = {"allOf": [schema, schemas[beside, "validation"]]}
    description = (answer.__doc__ or answer.__name__).strip().splitlines()[0]
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _common_paths() -> dict[str, Any]:
    def get(summary: str, *statuses: int) -> dict[str, Any]:
        responses = {str(status): {"description": summary} for status in statuses}
        return {"get": {"summary": summary, "responses": responses}}

    return {
        "/healthz": get("Liveness: 503 if the process should be restarted", 200, 503),
        "/readyz": get("Readiness, dependency by dependency", 200, 503),
        "/metrics": get("Prometheus metrics", 200),
    }
