"""What the other lines start: says for which queue, and that Flask is there for it too."""

import sys

import flask

print(f"working on {sys.argv[1]} with {flask.Flask.__name__}")
