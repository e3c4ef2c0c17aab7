"""Numbered pages of lists: the request, and the page's position. Pure."""

from pydantic import Field

from shared.json_model import Json, Whole


class PageQuery(Json):
    page: Whole = Field(1, ge=1, le=1_000_000)
    limit: Whole = Field(20, ge=1, le=100)

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit


class Pagination(Json):
    page: int
    limit: int
    total: int
    total_pages: int
    has_next: bool
    has_prev: bool


def pagination(asked: PageQuery, total: int) -> Pagination:
    pages = -(-total // asked.limit)
    return Pagination(
        page=asked.page,
        limit=asked.limit,
        total=total,
        total_pages=pages,
        has_next=asked.page < pages,
        has_prev=asked.page > 1,
    )
