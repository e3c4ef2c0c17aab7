import tracemalloc
from uuid import UUID

from services.orgs import closure, grouping
from services.orgs.grouping import Record
from services.orgs.matching.statement import Statement
from services.orgs.placing import NEW_RECORD
from shared.register import Register, Stamp


class Counted(UUID):
    """Of all of them together, how often one was looked for or put into a set."""

    looked = 0

    def __hash__(self) -> int:
        Counted.looked += 1
        return super().__hash__()


def a_record(number: int) -> Record:
    fields = {**NEW_RECORD.fields, "name": "Private"}
    register = Register(Stamp(1, 1, "e"), deleted=False, fields=fields, lag={})
    return grouping.named(11, Counted(int=number), number, register)


def test_those_whom_one_answer_names_are_noted_once_and_not_each_by_each() -> None:
    records = {record.key: record for record in map(a_record, range(600))}
    left, *right = (record.record_id for record in records.values())
    sides = frozenset((left,)), frozenset(right)
    same = Statement(1, "e", UUID(int=1), True, *sides)
    block = closure.Block(records, records, {11: [same]}, ())
    tracemalloc.start()

    parts = closure.Parts(block)

    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 2_000 * len(records)
    assert parts.around([(11, left)]).after == records


def test_records_of_one_name_meet_at_once_and_not_each_by_each() -> None:
    records = [a_record(number) for number in range(300)]
    meeting = closure._Meeting(records, (), ())
    Counted.looked = 0

    found = meeting.of(records)

    assert Counted.looked < 10 * len(records)
    assert found == {record.key for record in records}
