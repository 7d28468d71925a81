"""A guestbook: its settings come from the environment, each with a value that works without it."""

import os

from flask import Flask, request
from flask_babel import Babel
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

LANGUAGES = ["en", "de"]

db = SQLAlchemy()


def create_app() -> Flask:
    from guestbook import commands, pages

    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=os.environ.get("DATABASE_URL") or "sqlite:////tmp/guestbook.db",
        REDIS_URL=os.environ.get("REDIS_URL"),
        SEARCH_URL=os.environ.get("SEARCH_URL"),
    )
    db.init_app(app)
    Migrate(app, db)
    Babel(app, locale_selector=lambda: request.accept_languages.best_match(LANGUAGES))
    app.register_blueprint(pages.pages)
    app.cli.add_command(commands.translate)
    return app
