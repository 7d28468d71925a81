"""Says of an iris which one it is, by the nearest of the centres that the model knows."""

import json
from pathlib import Path

from flask import Flask, request

MODEL = json.loads(Path(__file__).with_name("models").joinpath("iris.json").read_text())

application = Flask(__name__)


@application.get("/predict")
def predict() -> str:
    petal = [float(request.args[name]) for name in MODEL["features"]]

    def distance(kind: str) -> float:
        centre = MODEL["centres"][kind]
        return sum((a - b) ** 2 for a, b in zip(petal, centre, strict=True))

    return min(MODEL["centres"], key=distance) + "\n"
