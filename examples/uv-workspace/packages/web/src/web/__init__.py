"""The member that is served."""

from flask import Flask
from greetings import greeting

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return greeting()
