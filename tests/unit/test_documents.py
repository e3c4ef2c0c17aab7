"""The documentation's tables are the code's."""

from devstack import documents


def test_the_tables_of_the_documents_are_those_of_the_code() -> None:
    for name, (path, content) in documents.PARTS.items():
        text = (documents.ROOT / path).read_text()

        assert documents.regenerated(text, name, content()) == text, "run `make docs`"


def test_every_setting_says_what_it_means() -> None:
    for service, model in documents.settings_classes().items():
        undescribed = [name for name, field in model.model_fields.items() if not field.description]

        assert not undescribed, service
