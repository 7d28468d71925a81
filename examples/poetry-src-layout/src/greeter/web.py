"""A Flask application that knows its version from its installed metadata."""

from importlib.metadata import version

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return f"Hello from Poetry, greeter {version('greeter')}\n"
