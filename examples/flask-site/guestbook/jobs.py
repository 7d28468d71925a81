"""What the worker does."""

from guestbook import create_app, db
from guestbook.models import Entry


def count_words(number: int) -> None:
    with create_app().app_context():
        entry = db.session.get(Entry, number)
        entry.words = len(entry.text.split())
        db.session.commit()
