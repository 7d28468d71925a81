"""Serves what Node has built."""

from flask import Flask

application = Flask(__name__)
