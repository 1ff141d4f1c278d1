"""`kcnn configs`: the machines that come with kcnn."""

from __future__ import annotations

import dataclasses

from .. import api
from ..arch.config import meanings
from . import options, report
from .outputs import Outputs, write_json


def configs(json: options.Json = None) -> None:
    """List the configurations that come with kcnn.

    A TOML file with the same fields describes a machine of your own: every option --config takes
    its path. The first eight fields must be in it, the others are as in the presets if they are
    not.

    \b
    kcnn configs
    """
    known = api.configs()
    with Outputs() as outputs:
        if json is not None:
            write_json(outputs.file(json),
                       {config.name: dataclasses.asdict(config) for config in known})
        report.table(
            "configurations", ("parameter", *(config.name for config in known), "what it means"),
            ((field, *(getattr(config, field) for config in known), meaning)
             for field, meaning in meanings().items()), (0, len(known) + 1))
