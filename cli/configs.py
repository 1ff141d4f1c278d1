"""`kcnn configs`: the machines that come with kcnn."""

from __future__ import annotations

import dataclasses

from ..arch.config import Config, presets
from . import options, report
from .outputs import Outputs, write_json


def configs(json: options.Json = None) -> None:
    """List the configurations that come with kcnn.

    A TOML file with the same fields describes a machine of your own.

    \b
    kcnn configs
    """
    known = [Config.preset(name) for name in presets()]
    fields = [field.name for field in dataclasses.fields(Config) if field.name != "name"]
    with Outputs() as outputs:
        if json is not None:
            write_json(outputs.file(json),
                       {config.name: dataclasses.asdict(config) for config in known})
        report.table("configurations", ("parameter", *(config.name for config in known)),
                     ((field, *(getattr(config, field) for config in known)) for field in fields))
