"""Recording stand-ins of launch and launch_ros: they carry out a launch file and note what it would start.

Constructors take the keywords of the real classes (Humble and Jazzy) and nothing else, so that a misspelt one fails.
"""

import importlib.util
import os
import re
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class Context:
    """What is known while a launch file is carried out, and what it did."""

    def __init__(self, arguments, environment=None):
        self.launch_configurations = dict(arguments)
        self.environment = dict(os.environ if environment is None else environment)
        self.declared: dict[str, DeclareLaunchArgument] = {}
        self.processes: list[ExecuteProcess] = []
        self.includes: list[tuple[str, dict[str, str]]] = []


def perform(context, value) -> str:
    """Evaluate text, a substitution or a list of both."""
    if isinstance(value, list | tuple):
        return "".join(perform(context, part) for part in value)
    return value.perform(context) if isinstance(value, Substitution) else str(value)


class Substitution:
    """Base of the substitutions."""


@dataclass
class LaunchConfiguration(Substitution):
    variable_name: str
    default: str | None = None

    def perform(self, context):
        if self.variable_name not in context.launch_configurations and self.default is None:
            raise KeyError(f"launch configuration '{self.variable_name}' does not exist")
        return context.launch_configurations.get(self.variable_name, self.default)


@dataclass
class EnvironmentVariable(Substitution):
    name: str
    default_value: object = field(default=None, kw_only=True)

    def perform(self, context):
        return context.environment.get(self.name) or perform(context, self.default_value)


@dataclass
class PathJoinSubstitution(Substitution):
    substitutions: list

    def perform(self, context):
        return os.path.join(*(perform(context, part) for part in self.substitutions))


@dataclass
class PythonExpression(Substitution):
    expression: object

    def perform(self, context):
        return str(eval(perform(context, self.expression)))


@dataclass
class FindPackageShare(Substitution):
    package: str

    def perform(self, context):
        # share/lira_ros has the folders launch and config of the repository; other packages are not looked into.
        return str(REPOSITORY) if self.package == "lira_ros" else f"/opt/ros/share/{self.package}"


@dataclass
class IfCondition:
    predicate_expression: object

    def evaluate(self, context):
        value = perform(context, self.predicate_expression).lower()
        assert value in ("true", "1", "false", "0"), f"a condition needs true or false, got {value!r}"
        return value in ("true", "1")


@dataclass
class ParameterFile:
    param_file: str
    allow_substs: bool = field(default=False, kw_only=True)

    def text(self, context) -> str:
        text = Path(perform(context, self.param_file)).read_text(encoding="utf-8")
        if self.allow_substs:
            text = re.sub(r"\$\(var (\w+)\)", lambda match: context.launch_configurations[match[1]], text)
        assert "$(" not in text
        return text


class Action:
    """Base of the actions; a condition is checked before an action is carried out."""

    def __init__(self, condition=None):
        self.condition = condition

    def visit(self, context):
        if self.condition is None or self.condition.evaluate(context):
            self.execute(context)

    def execute(self, context):
        raise NotImplementedError


class LaunchDescription(Action):
    def __init__(self, initial_entities=None):
        super().__init__()
        self.entities = list(initial_entities or ())

    def execute(self, context):
        for entity in self.entities:
            entity.visit(context)


class DeclareLaunchArgument(Action):
    def __init__(self, name, *, default_value=None, description=None, choices=None, condition=None):
        super().__init__(condition)
        self.name, self.default_value, self.description, self.choices = name, default_value, description, choices

    def execute(self, context):
        context.declared[self.name] = self
        value = context.launch_configurations.setdefault(self.name, perform(context, self.default_value))
        if self.choices is not None and value not in self.choices:
            raise ValueError(f"argument {self.name}: {value!r} is not one of {self.choices}")


class SetEnvironmentVariable(Action):
    def __init__(self, name, value, *, condition=None):
        super().__init__(condition)
        self.name, self.value = name, value

    def execute(self, context):
        context.environment[perform(context, self.name)] = perform(context, self.value)


class Shutdown(Action):
    def __init__(self, *, reason="", condition=None):
        super().__init__(condition)
        self.reason = reason


class OpaqueFunction(Action):
    def __init__(self, *, function, args=None, kwargs=None, condition=None):
        super().__init__(condition)
        self.function = function

    def execute(self, context):
        for action in self.function(context) or ():
            action.visit(context)


class GroupAction(Action):
    def __init__(self, actions, *, scoped=True, forwarding=True, condition=None):
        super().__init__(condition)
        assert scoped
        assert forwarding
        self.actions = actions

    def execute(self, context):
        outer = dict(context.launch_configurations)
        for action in self.actions:
            action.visit(context)
        context.launch_configurations = outer


class IncludeLaunchDescription(Action):
    def __init__(self, launch_description_source, *, launch_arguments=None, condition=None):
        super().__init__(condition)
        self.source, self.launch_arguments = launch_description_source, tuple(launch_arguments or ())

    def execute(self, context):
        path = perform(context, self.source.location)
        arguments = {perform(context, name): perform(context, value) for name, value in self.launch_arguments}
        context.includes.append((path, arguments))
        context.launch_configurations.update(arguments)
        if path.startswith(str(REPOSITORY)):
            load(Path(path)).generate_launch_description().visit(context)


@dataclass
class LaunchDescriptionSource:
    location: object


class ExecuteProcess(Action):
    def __init__(
        self, *, cmd=None, output="log", emulate_tty=False, respawn=False, respawn_delay=None, on_exit=None,
        additional_env=None, condition=None,
    ):  # fmt: skip
        super().__init__(condition)
        self.cmd, self.output, self.respawn, self.on_exit = cmd, output, respawn, on_exit

    def execute(self, context):
        context.processes.append(self)


class Node(ExecuteProcess):
    def __init__(
        self, *, executable, package=None, name=None, namespace=None, parameters=None, remappings=None,
        arguments=None, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.executable, self.package, self.name, self.namespace = executable, package, name, namespace
        self.parameters, self.remappings, self.raw_arguments = parameters or [], dict(remappings or ()), arguments or []

    def execute(self, context):
        super().execute(context)
        self.arguments = [perform(context, part) for part in self.raw_arguments]
        self.parameter_texts = [self.parameter_text(context, item) for item in self.parameters]

    @staticmethod
    def parameter_text(context, item):
        if isinstance(item, dict):
            return {name: value if isinstance(value, bool | int | float) else perform(context, value)
                    for name, value in item.items()}  # fmt: skip
        if isinstance(item, ParameterFile):
            return item.text(context)
        return Path(perform(context, item)).read_text(encoding="utf-8")


MODULES = {
    "launch": (LaunchDescription, {"LaunchContext": Context}),
    "launch.actions": (
        DeclareLaunchArgument, ExecuteProcess, GroupAction, IncludeLaunchDescription, OpaqueFunction,
        SetEnvironmentVariable, Shutdown,
    ),
    "launch.conditions": (IfCondition,),
    "launch.launch_description_sources": (
        {f"{kind}LaunchDescriptionSource": LaunchDescriptionSource for kind in ("Any", "Python")},
    ),
    "launch.substitutions": (EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution, PythonExpression),
    "launch_ros": (),
    "launch_ros.actions": (Node,),
    "launch_ros.parameter_descriptions": (ParameterFile,),
    "launch_ros.substitutions": (FindPackageShare,),
}  # fmt: skip


def install(monkeypatch) -> None:
    """Put the stand-ins in the place of launch and launch_ros for the time of a test."""
    for name, contents in MODULES.items():
        module = types.ModuleType(name)
        for item in contents:
            vars(module).update(item if isinstance(item, dict) else {item.__name__: item})
        monkeypatch.setitem(sys.modules, name, module)


def load(path: Path) -> types.ModuleType:
    """Import a launch file."""
    specification = importlib.util.spec_from_file_location(path.name.replace(".", "_"), path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def carry_out(launch_file: str, environment=None, **arguments: str) -> Context:
    """Carry out a launch file of this repository with the given arguments."""
    context = Context(arguments, environment)
    load(REPOSITORY / "launch" / launch_file).generate_launch_description().visit(context)
    return context
