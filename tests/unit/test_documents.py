"""The documentation's tables are the code's."""

import re
from collections.abc import Iterable

from devstack import documents
from devstack.log_meanings import MEANINGS
from services.ingest.sync import hearing
from services.orgs import main as orgs
from services.query import main as query
from services.scoring import main as scoring
from shared import topics
from shared.kafka import refusals
from shared.topics import Topic

LINK = re.compile(r"\]\(([^)\s:]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
READ = {
    "ingest": hearing.TOPICS,
    "orgs": orgs.CONSUMED,
    "scoring": scoring.CONSUMED,
    "query": query.CONSUMED,
}


def test_the_tables_of_the_documents_are_those_of_the_code() -> None:
    for name, (path, content) in documents.PARTS.items():
        text = (documents.ROOT / path).read_text()

        fresh = documents.regenerated(text, name, content())
        assert fresh == text, "run `python -m devstack.documents`"


def test_a_topic_names_those_who_read_it() -> None:
    for topic in topics.ALL:
        readers = {service for service, read in READ.items() if topic.name in _names(read)}

        assert set(topic.consumers) == readers, topic.name


def test_a_topic_names_those_who_hear_it() -> None:
    heard = {topic.name for topic in topics.ALL if topic.heard_by}

    assert heard == _names(refusals.HEARD)


def _names(read: Iterable[Topic]) -> set[str]:
    return {topic.name for topic in read}


def test_what_differs_between_services_is_told_of_each_and_the_rest_once() -> None:
    rows = [line.split(" | ") for line in documents.settings().splitlines()[2:]]
    told = {name.strip("| `"): rest for name, *rest in rows}

    assert told["POOL_SIZE"][:2] == ["`10`", "all"]
    assert told["PORT"][0] == "ingest: `8081`; orgs: `8082`; scoring: `8083`; query: `8080`"
    assert told["QUERY_DATABASE_URL"][0] == "value of `DATABASE_URL`"
    assert told["DATABASE_URL"][:2] == ["`postgresql://localhost:5432/my500`", "all"]
    assert "`QUERY_DATABASE_URL`" in told["DATABASE_URL"][2]
    assert re.match(r"ingest, orgs: .+; query: ", told["REDIS_URL"][2])


def test_logs_of_every_level_are_in_the_table() -> None:
    [stuck] = [row for row in documents.logs().splitlines() if row.startswith("| `stuck` ")]

    assert "| critical |" in stuck
    assert "`shared/lifecycle.py`" in stuck


def test_a_message_that_is_logged_in_several_ways_has_one_row() -> None:
    messages = [row.split(" | ")[0] for row in documents.logs().splitlines()]

    assert len(messages) == len(set(messages))


def test_every_log_message_says_what_it_means_to_an_operator() -> None:
    """The sentences are in `devstack/log_meanings.py`."""
    assert set(MEANINGS) == set(documents.log_calls())


def test_every_setting_says_what_it_means() -> None:
    for service, model in documents.settings_classes().items():
        undescribed = [name for name, field in model.model_fields.items() if not field.description]

        assert not undescribed, service


def test_settings_in_seconds_say_so_in_one_way() -> None:
    names = [
        name for model in documents.settings_classes().values() for name in model.model_fields
    ]

    assert [name for name in names if name.endswith(("_s", "_sec", "_secs"))] == []


def test_what_documents_point_to_within_documents_is_there() -> None:
    root = documents.ROOT
    pages = [root / "README.md", root / "bench" / "README.md", *(root / "docs").rglob("*.md")]
    pointed = [(page, *found) for page in pages for found in LINK.findall(page.read_text())]

    lost = [
        f"{page.name}: {path}#{place}"
        for page, path, place in pointed
        if place not in _places((page.parent / path if path else page).read_text())
    ]

    assert pointed
    assert lost == []


def _places(text: str) -> set[str]:
    """What a heading is called in links, as GitHub makes it of its words."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }
