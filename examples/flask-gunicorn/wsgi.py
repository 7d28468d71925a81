"""A Flask application; `wsgi.py` beside gunicorn is all that s2r needs to know how to start it."""

from flask import Flask

application = Flask(__name__)


@application.get("/")
def index() -> str:
    return "Hello from Flask\n"
