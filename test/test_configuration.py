from dataclasses import dataclass

import pytest

from lira_ros.configuration import ConfigurationError, build, flatten, parameter, parameters_of, section


@dataclass(frozen=True)
class Inner:
    rate_hz: float = parameter(2.0, "how often", minimum=0.5, maximum=10.0)
    mode: str = parameter("a", "which", choices=("a", "b"))


@dataclass(frozen=True)
class Outer:
    count: int = parameter(3, "how many", minimum=1)
    on: bool = parameter(True, "whether")
    names: tuple[str, ...] = parameter((), "which ones")
    weights: tuple[float, ...] = parameter((0.5,), "how much", minimum=0.0)
    inner: Inner = section(Inner)


def test_defaults_and_dotted_names():
    assert build(Outer, {}) == Outer()
    assert [item.name for item in parameters_of(Outer)] == [
        "count", "on", "names", "weights", "inner.rate_hz", "inner.mode",
    ]  # fmt: skip
    changed = build(Outer, {"inner.rate_hz": 4, "names": ["x", "y"], "on": False})
    assert changed.inner.rate_hz == 4.0
    assert isinstance(changed.inner.rate_hz, float)
    assert changed.names == ("x", "y")
    assert changed.on is False


def test_flatten_is_the_inverse_of_build():
    values = {"count": 7, "on": False, "names": ("a",), "weights": (1.0, 2.0), "inner.rate_hz": 1.5, "inner.mode": "b"}
    assert flatten(build(Outer, values)) == values


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("inner.rate_hz", 20.0, "above the maximum 10"),
        ("inner.rate_hz", 0.1, "below the minimum 0.5"),
        ("inner.rate_hz", float("nan"), "finite"),
        ("inner.rate_hz", "fast", "expected float"),
        ("inner.mode", "c", "not one of a, b"),
        ("count", 0, "below the minimum"),
        ("count", 1.5, "expected int"),
        ("count", True, "expected int"),
        ("on", 1, "expected true or false"),
        ("names", "x", "expected a list"),
        ("names", [1], "expected str"),
        ("weights", [-1.0], "below the minimum"),
        ("speed", 1, "unknown parameter speed"),
        ("inner", 1, "unknown parameter inner"),
    ],
)
def test_wrong_values_are_refused_by_name(name, value, said):
    with pytest.raises(ConfigurationError) as caught:
        build(Outer, {name: value})
    assert name in str(caught.value)
    assert said in str(caught.value)
