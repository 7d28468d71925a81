"""What the database holds."""

from guestbook import db


class Entry(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    text = db.Column(db.Text, nullable=False)
    # Counted by the worker.
    words = db.Column(db.Integer)
