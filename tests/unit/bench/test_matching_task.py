import gzip
from pathlib import Path

import pytest

from bench import matching_task as task
from bench.matching_task import Row
from services.orgs.matching.profile import Stated

ROWS = [
    Row("1", Stated("Joe's Pizza, Bern", website="", country="CH", postcode=None, city=None)),
    Row("1", Stated("Jös Pizza", website="joes.example", country="", postcode=None, city=None)),
]
WRITTEN = (
    'Name,country,website,cluster\r\n"Joe\'s Pizza, Bern",CH,,1\r\nJös Pizza,,joes.example,1\r\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", ["names.csv", "names.csv.gz", "names"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_come_in_any_order_marked_and_packed_in_any_way(
    tmp_path: Path, encoding: str, name: str, mark: str
) -> None:
    quoted = WRITTEN.replace("Pizza, Bern", "Pizza@ Bern").replace(",", mark)
    text = quoted.replace("@", ",").encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)

    assert task.read(path, key="cluster") == ROWS
    assert task.says_more(ROWS)


def test_rows_that_say_too_little_are_left_out_or_stand_alone(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("cluster,name,city\n,Acme,\n\n2\n,Bolt\n3,  ,Bern\n3,Cog,\n", "utf-8")

    rows = task.read(path, key="cluster")

    assert [row.stated.name for row in rows] == ["Acme", "Bolt", "Cog"]
    assert len({row.cluster for row in rows}) == 3
    assert not task.says_more(rows)


def read_names(path: Path, text: str) -> list[str | None]:
    path.write_text(text, "utf-8")
    return [row.stated.name for row in task.read(path, key="cluster")]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('The "Best" Co\n2\t"Next\n3\tMore"', ['The "Best" Co', '"Next', 'More"']),
        ('"Best" Co\n2\tNext', ['"Best" Co', "Next"]),
        ('"Best ""Co"""\n2\t"Ne\txt"', ['Best "Co"', "Ne\txt"]),
    ],
    ids=["one begins a field", "one ends within a field", "all fields are quoted"],
)
def test_quotes_between_tabs_are_marks_only_if_all_that_begin_a_field_end_it(
    tmp_path: Path, lines: str, expected: list[str]
) -> None:
    assert read_names(tmp_path / "names.tsv", f"cluster\tname\n1\t{lines}\n") == expected


def test_a_long_field_is_read(tmp_path: Path) -> None:
    name = "a" * 200_000

    assert read_names(tmp_path / "names.csv", f"cluster,name\n1,{name}\n") == [name]


def test_blank_lines_before_the_columns_are_passed_over(tmp_path: Path) -> None:
    assert read_names(tmp_path / "names.csv", "\n  \r\ncluster,name\n1,Acme\n") == ["Acme"]


def a_cluster(label: str, *names: str, **stated: str) -> list[Row]:
    return [Row(label, Stated(name, **stated)) for name in names]


def test_clusters_of_one_name_are_united_as_far_as_nothing_in_the_whole_contradicts() -> None:
    rows = [
        *a_cluster("a", "Subway", "Subway Inc."),
        *a_cluster("b", "Subway", "Subway GmbH", country="DE"),
        *a_cluster("c", "Subway", "Subway SARL", country="FR"),
        *a_cluster("d", "SUBWAY", country="FR"),
    ]

    built = task.build(rows, columns="all")

    clusters = {row.cluster for row, _ in built.stored} | {a.row.cluster for a in built.arrivals}
    assert (built.dropped, built.united) == (0, 2)
    assert clusters == {"a", "c"}


def test_a_file_without_names_is_refused_with_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("cluster,title\n1,Acme\n", "utf-8")

    with pytest.raises(SystemExit, match="no column 'name'"):
        task.read(path, key="cluster")


@pytest.mark.parametrize(
    "content", [None, gzip.compress(b"cluster,name\n1,Acme\n")[:-9]], ids=["absent", "cut off"]
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "names.csv.gz"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SystemExit, match=r"names\.csv\.gz can't be read"):
        task.read(path)
