"""Notes by number."""

import os

from flask import Flask, Response, abort, request, url_for
from sqlalchemy import create_engine, text

engine = create_engine(os.environ.get("DATABASE_URL") or "sqlite:////tmp/notes.db")
app = Flask(__name__)


def create_tables() -> None:
    kind = "SERIAL" if engine.dialect.name == "postgresql" else "INTEGER"
    with engine.begin() as connection:
        connection.execute(
            text(f"CREATE TABLE IF NOT EXISTS note (id {kind} PRIMARY KEY, text TEXT NOT NULL)")
        )


@app.post("/notes")
def create() -> tuple[str, int, dict[str, str]]:
    statement = text("INSERT INTO note (text) VALUES (:text) RETURNING id")
    with engine.begin() as connection:
        number = connection.execute(statement, {"text": request.get_data(as_text=True)}).scalar_one()
    address = url_for("read", number=number)
    return address + "\n", 201, {"Location": address}


@app.get("/notes/<int:number>")
def read(number: int) -> Response:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT text FROM note WHERE id = :id"), {"id": number}).scalar()
    if found is None:
        abort(404)
    return Response(found, mimetype="text/plain")
