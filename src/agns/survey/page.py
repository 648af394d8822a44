"""The page that asks people: one HTML file that fetches and sends nothing."""

import base64
from importlib.resources import files
from pathlib import Path

from agns.storage import json_text
from agns.survey.questions import FORM, Survey
from agns.writing import write_text


def write_page(path: Path, survey: Survey) -> None:
    """Write the page; of the key it has nothing but the pictures' random names."""
    content = {
        "form": FORM,
        "survey": survey.name,
        "frames": [
            {"frame": one.name, "picture": base64.b64encode(one.picture).decode()}
            for one in survey.questions
        ],
    }
    parts = {
        "WORN": " on a face" if survey.worn else "",
        "WORN_CLASS": " worn" if survey.worn else "",
        # Base64 and hexadecimal digits: nothing that could end the script.
        "SURVEY": json_text(content),
    }
    page = (files("agns.survey") / "page.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"{{{{{name}}}}}", text)
    write_text(path, page)
