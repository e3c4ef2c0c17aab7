"""Webhook bodies that are valid by default."""

from typing import Any

import orjson

COMPANY = 8_087_566
MICROS = 1_779_864_881_426_123
SECONDS = MICROS // 1_000_000


def v2(entity: str, data: Any, *, entity_id: Any = "8", **meta: Any) -> bytes:
    """Meta fields given as None are left out."""
    whole = {
        "action": "change",
        "attempt": 1,
        "change_source": "app",
        "company_id": str(COMPANY),
        "correlation_id": "43cb94f3-bbbd-406c-ae19-ddeec349d896",
        "entity": entity,
        "entity_id": entity_id,
        "host": "example.pipedrive.com",
        "id": "7c812ffd-8f50-45ea-a597-b8fcba2da9c0",
        "is_bulk_edit": False,
        "permitted_user_ids": ["12415231"],
        "timestamp": "2026-05-27T06:54:41.426Z",
        "type": "general",
        "user_id": "12415231",
        "version": "2.0",
        "webhook_id": "4710827",
        "webhook_owner_id": "12094821",
        **meta,
    }
    sent = {name: value for name, value in whole.items() if value is not None}
    return orjson.dumps({"data": data, "previous": None, "meta": sent})


def v1(entity: str, current: Any, *, retry: int = 0, previous: Any = None, **meta: Any) -> bytes:
    """Meta fields given as None are left out."""
    whole = {
        "action": "updated",
        "change_source": "app",
        "company_id": COMPANY,
        "host": "example.pipedrive.com",
        "id": 8,
        "object": entity,
        "permitted_user_ids": ["*"],
        "timestamp": SECONDS,
        "timestamp_micro": MICROS,
        "user_id": 12_415_231,
        "v": 1,
        "webhook_id": "404975",
        **meta,
    }
    sent = {name: value for name, value in whole.items() if value is not None}
    return orjson.dumps(
        {
            "v": 1,
            "matches_filters": None,
            "meta": sent,
            "current": current,
            "previous": previous,
            "retry": retry,
            "event": f"{whole['action']}.{entity}",
        }
    )
