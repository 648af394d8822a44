"""The settings of attacks as fields of a form."""

import dataclasses
from typing import Any

import pytest

from agns.attack.agn import AGN
from agns.attack.methods import METHODS
from agns.errors import ConfigError

pytest.importorskip("gradio", reason="Gradio is not installed (the extra studio)")

from agns.studio.settings_form import component, fields_of, given


@pytest.mark.parametrize("name", METHODS)
def test_what_a_form_holds_at_first_changes_nothing(name: str) -> None:
    fields = fields_of(METHODS[name])
    parts: list[Any] = [component(field) for field in fields]
    assert given(fields, [part.value for part in parts]) == {}
    assert all(part.info for part in parts), "each is explained"


def test_what_differs_is_given_as_its_class_takes_it() -> None:
    fields = fields_of(AGN())
    values: list[Any] = [component(field).value for field in fields]
    names = [field.name for field in fields]
    changes = {"kappa": 1, "epochs": 3.0, "palette": "colours.txt", "nps_weight": 1}
    for name, value in changes.items():
        values[names.index(name)] = value
    found = given(fields, values)
    assert found == {"kappa": 1.0, "epochs": 3, "palette": "colours.txt", "nps_weight": 1.0}
    assert isinstance(found["epochs"], int)
    assert dataclasses.replace(AGN(), kappa=found["kappa"]).kappa == 1.0


def test_what_is_no_number_is_refused_by_name() -> None:
    fields = fields_of(METHODS["transfer"])
    values: list[Any] = [component(field).value for field in fields]
    numbers = [place for place, field in enumerate(fields) if field.name == "steps"]
    values[numbers[0]] = None
    with pytest.raises(ConfigError, match="steps is empty"):
        given(fields, values)
