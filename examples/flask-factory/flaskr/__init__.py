"""A package whose application is made by a function, as Flask's tutorial has it."""

from flask import Flask


def create_app(config: dict | None = None) -> Flask:
    app = Flask(__name__)
    app.config.update(config or {})

    @app.get("/")
    def index() -> str:
        return "Hello from a factory\n"

    return app
