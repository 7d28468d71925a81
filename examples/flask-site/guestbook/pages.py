"""The site's pages."""

from flask import Blueprint, current_app, request
from flask_babel import gettext
from redis import Redis
from rq import Queue

from guestbook import db
from guestbook.models import Entry

pages = Blueprint("pages", __name__)


@pages.get("/")
def index() -> str:
    entries = db.session.scalars(db.select(Entry)).all()
    words = sum(entry.words or 0 for entry in entries)
    text = gettext("%(entries)s entries, %(words)s words", entries=len(entries), words=words)
    if not current_app.config["SEARCH_URL"]:
        text += "\n" + gettext("no search here: SEARCH_URL is not set")
    return text + "\n"


@pages.post("/")
def add() -> tuple[str, int]:
    entry = Entry(text=request.get_data(as_text=True))
    redis_url = current_app.config["REDIS_URL"]
    if not redis_url:
        entry.words = len(entry.text.split())
    db.session.add(entry)
    db.session.commit()
    if redis_url:
        with Redis.from_url(redis_url) as redis:
            Queue("words", connection=redis).enqueue("guestbook.jobs.count_words", entry.id)
    return "", 201


@pages.get("/healthz")
def healthz() -> str:
    return "well\n"
