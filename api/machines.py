"""Machines: those that come with kcnn, and any as Verilog or VHDL."""

from __future__ import annotations

from pathlib import Path

from ..arch.config import Config, presets
from ..arch.errors import ConfigError


def configs() -> list[Config]:
    """The configurations that come with kcnn."""
    return [Config.preset(name) for name in presets()]


def convert(config: Config | str | Path, hdl: str, folder: str | Path) -> list[Path]:
    """Write a machine to a folder as "verilog" or "vhdl"; the files, in the order in which they are
    compiled. config: a preset, a TOML file or a Config. The top is called machine."""
    from ..rtl import convert as rtl
    return rtl.convert(named(config), hdl, Path(folder)).files


def named(config: Config | str | Path) -> Config:
    """A configuration, or the one of a preset or TOML file. Raises ConfigError."""
    if isinstance(config, Config):
        return config
    if not isinstance(config, str | Path):
        raise ConfigError(f"config is a {type(config).__name__}, no configuration; give a preset "
                          f"({', '.join(presets())}), the path of a TOML file, or a Config")
    return Config.load(str(config))
