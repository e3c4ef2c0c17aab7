"""Generates the documentation's tables from the code: `python -m devstack.documents [--check]`.

Rule: what is between two `<!-- generated: NAME -->` marks is never edited by hand; `--check`
fails if it differs from the code.
"""

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from devstack.log_meanings import MEANINGS
from shared import observability, topics
from shared.answered import Answered
from shared.settings import Settings, StoreSettings
from shared.topics import Topic

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "tests" / "unit" / "shared" / "golden"
SERVICES = ("ingest", "orgs", "scoring", "query")
LOG_CALL = re.compile(r'\blog\.(debug|info|warning|error|exception|critical)\(\s*"(\w+)"')


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def events() -> str:
    return "\n\n".join(_event(topic) for topic in topics.ALL)


def _event(topic: Topic) -> str:
    example = json.loads((EXAMPLES / f"{topic.name}.json").read_bytes())
    kept = "Compacted: the newest state of a key" if topic.compacted else "Kept in full"
    readers = ", ".join(topic.consumers) or "no service yet"
    if topic.heard_by:
        readers += f"; held in memory by {', '.join(topic.heard_by)}"
    fact = topic.model.__name__.replace("[", " of ").replace("]", "")
    writers = " and ".join(topic.producers)
    return "\n".join(
        [
            f"### `{topic.name}`",
            "",
            f"{fact}. Written by {writers}, read by {readers}. Key `{topic.key}`.",
            f"{kept}. Dead letters: `{topics.dead_letters_of(topic.name)}`.",
            "",
            "```json",
            json.dumps(example, ensure_ascii=False, indent=2),
            "```",
        ]
    )


def metrics() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for metric in vars(observability).values():
            if not isinstance(metric, MetricWrapperBase | Answered):
                continue
            for family in metric.describe():
                name = family.name + ("_total" if family.type == "counter" else "")
                labelled = family if isinstance(metric, Answered) else metric
                labels = ", ".join(f"`{each}`" for each in vars(labelled)["_labelnames"])
                yield f"`{name}`", family.type, labels or "-", family.documentation

    return _table(("metric", "type", "labels", "meaning"), iter(sorted(rows())))


def settings_classes() -> dict[str, type[BaseSettings]]:
    """The settings of each service, by its name."""
    found = {}
    for service in SERVICES:
        module = importlib.import_module(f"services.{service}.settings")
        for value in vars(module).values():
            own = inspect.isclass(value) and issubclass(value, Settings)
            if own and value not in (Settings, StoreSettings):
                found[service] = value
    return found


def variables(name: str, field: Any) -> list[str]:
    """The environment variables that set a field, the one with highest precedence first."""
    alias = field.validation_alias
    if alias is None:
        return [name.upper()]
    return [str(choice) for choice in getattr(alias, "choices", [alias])]


def settings() -> str:
    """Each variable is listed once, with the differences between the services that read it."""
    defaults: dict[str, dict[str, str]] = {}
    meanings: dict[str, dict[str, str]] = {}
    replaced: dict[str, list[str]] = {}
    for service, model in settings_classes().items():
        for name, field in model.model_fields.items():
            *before, last = variables(name, field)
            meaning = field.description or ""
            default = "required" if field.is_required() else f"`{_shown(field.get_default())}`"
            defaults.setdefault(last, {})[service] = default
            meanings.setdefault(last, {})[service] = meaning
            for variable in before:
                defaults[variable] = {service: f"value of `{last}`"}
                meanings[variable] = {service: meaning}
                replaced.setdefault(last, []).append(f"`{variable}`")
    for variable, names in replaced.items():
        instead = f"used for each of {', '.join(names)} that is not set"
        meanings[variable] = dict.fromkeys(meanings[variable], instead)
    rows = (
        (f"`{variable}`", _told(defaults[variable]), _readers(meanings[variable]), _told(told))
        for variable, told in sorted(meanings.items())
    )
    return _table(("variable", "default", "read by", "meaning"), rows)


def _readers(told: Mapping[str, str]) -> str:
    return "all" if len(told) == len(SERVICES) else ", ".join(told)


def _told(by_service: Mapping[str, str]) -> str:
    """A text that all services share, once; else each text with its services."""
    tellers: dict[str, list[str]] = {}
    for service, told in by_service.items():
        tellers.setdefault(told, []).append(service)
    if len(tellers) == 1:
        return next(iter(tellers))
    return "; ".join(f"{', '.join(who)}: {told}" for told, who in tellers.items())


def _shown(default: object) -> str:
    """A default in the code is not a secret, even if the variable usually holds one."""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    return "" if default is None else str(default)


def log_calls() -> dict[str, set[tuple[str, str]]]:
    """Each log message, with the levels at which it is logged, and the files."""
    found: dict[str, set[tuple[str, str]]] = {}
    for file in [*ROOT.glob("shared/**/*.py"), *ROOT.glob("services/**/*.py")]:
        for level, message in LOG_CALL.findall(file.read_text()):
            found.setdefault(message, set()).add((level, str(file.relative_to(ROOT))))
    return found


def logs() -> str:
    rows = (
        (
            f"`{message}`",
            ", ".join(sorted({level for level, _ in calls})),
            MEANINGS.get(message, ""),
            ", ".join(sorted({f"`{file}`" for _, file in calls})),
        )
        for message, calls in sorted(log_calls().items())
    )
    return _table(("message", "level", "meaning", "logged by"), rows)


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "events": ("docs/EVENTS.md", events),
    "metrics": ("docs/OPERATIONS.md", metrics),
    "settings": ("docs/OPERATIONS.md", settings),
    "logs": ("docs/OPERATIONS.md", logs),
}


def regenerated(text: str, name: str, content: str) -> str:
    """The text with the part called `name` replaced.

    Raises:
        ValueError: the text has no such part.
    """
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"no part {name}")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def main(arguments: list[str]) -> int:
    stale = []
    for name, (path, content) in PARTS.items():
        file = ROOT / path
        text = file.read_text()
        fresh = regenerated(text, name, content())
        if fresh != text:
            stale.append(f"{path}: {name}")
            if "--check" not in arguments:
                file.write_text(fresh)
    if stale:
        print("stale:" if "--check" in arguments else "written:", *stale, sep="\n ")
        if "--check" in arguments:
            print("update with `python -m devstack.documents`")
    return int("--check" in arguments and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
