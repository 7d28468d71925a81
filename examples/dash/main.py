"""A board of Dash's with one line of text."""

from dash import Dash, html

app = Dash(__name__, title="Hello from Dash")
app.layout = html.Div("Hello from Dash")

# What gunicorn is pointed at: it takes a name, and no attribute of one.
server = app.server
