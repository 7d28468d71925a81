import pytest

from api import app, create_tables, engine


@pytest.fixture(autouse=True)
def tables() -> None:
    create_tables()


def test_notes_are_read_as_they_were_written():
    client = app.test_client()
    created = client.post("/notes", data="buy milk")
    assert created.status_code == 201
    assert client.get(created.location).text == "buy milk"


def test_there_are_no_others():
    assert app.test_client().get("/notes/1000000").status_code == 404


def test_without_a_setting_it_is_sqlite():
    assert engine.dialect.name == "sqlite"
