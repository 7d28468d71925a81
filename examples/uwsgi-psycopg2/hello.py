"""A page that needs a driver which is built from source."""

import psycopg2
from flask import Flask

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return f"Hello from uWSGI, with libpq {psycopg2.__libpq_version__ // 10000}\n"
