"""The benches that `replay` generates: each reads rows.txt and compares the outputs of `dut`.

A row holds the bits of one cycle, inputs then outputs in the order of the ports. An output register
without reset is undefined at first: an output is compared from its first fully defined value on.
Both benches end with the line "DONE bad=" and the number of values that differ, outputs that never
become defined included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def _widths(ports: Sequence[Any]) -> tuple[int, int]:
    return (sum(p.width for p in ports if not p.output), sum(p.width for p in ports if p.output))


def verilog(ports: Sequence[Any], cycles: int, clocked: bool) -> str:
    """A bench for Icarus of `cycles` rows."""
    inputs, outputs = [p for p in ports if not p.output], [p for p in ports if p.output]
    wide, want = _widths(ports)
    row = ", ".join([p.name for p in inputs] + [f"want_{p.name}" for p in outputs])
    pins = ", ".join([".clk(tb_clk)"] * clocked + [f".{p.name}({p.name})" for p in ports])
    compare = []
    for number, port in enumerate(outputs):
        compare += [
            f"        if (^{port.name} !== 1'bx) tb_known[{number}] = 1;",
            f"        if (tb_n >= 1 && tb_known[{number}]",
            f"            && {port.name} !== want_{port.name}) begin",
            "            tb_bad = tb_bad + 1;",
            f'            if (tb_bad < 8) $display("cycle %0d: {port.name} %h, MyHDL %h", tb_n,'
            f" {port.name}, want_{port.name});",
            "        end"]
    return "\n".join([
        "`timescale 1ns/10ps",
        "module tb;",
        f"reg [{wide + want - 1}:0] tb_row [0:{cycles - 1}];",
        "integer tb_n, tb_bad;",
        "reg tb_clk;",
        f"reg [{len(outputs) - 1}:0] tb_known;",
        *(f"reg [{p.width - 1}:0] {p.name};" for p in inputs),
        *(f"reg [{p.width - 1}:0] want_{p.name};" for p in outputs),
        *(f"wire [{p.width - 1}:0] {p.name};" for p in outputs),
        f"dut dut({pins});",
        "initial begin",
        '    $readmemb("rows.txt", tb_row); tb_bad = 0; tb_clk = 0; tb_known = 0;',
        f"    for (tb_n = 0; tb_n < {cycles}; tb_n = tb_n + 1) begin",
        f"        {{{row}}} = tb_row[tb_n]; #1;",
        *compare,
        "        tb_clk = 1; #1; tb_clk = 0; #1;",
        "    end",
        f"    for (tb_n = 0; tb_n < {len(outputs)}; tb_n = tb_n + 1)",
        "        if (!tb_known[tb_n]) begin",
        "            tb_bad = tb_bad + 1;",
        '            $display("output %0d is never defined", tb_n);',
        "        end",
        '    $display("DONE bad=%0d", tb_bad); $finish;',
        "end",
        "endmodule", ""])


def _vhdl_type(port: Any) -> str:
    if not port.vector:
        return "std_logic"
    return f"{'signed' if port.signed else 'unsigned'}({port.width - 1} downto 0)"


def _parts(ports: Sequence[Any], high: int) -> Iterator[tuple[Any, str]]:
    for port in ports:
        low = high - port.width + 1
        yield port, f"({high} downto {low})" if port.vector else f"({high})"
        high = low - 1


def vhdl(ports: Sequence[Any], clocked: bool) -> str:
    """A bench for GHDL."""
    inputs, outputs = [p for p in ports if not p.output], [p for p in ports if p.output]
    wide, want = _widths(ports)
    pins = ", ".join(["clk => tb_clk"] * clocked + [f"{p.name} => {p.name}" for p in ports])
    drive, compare = [], []
    for port, part in _parts(inputs, wide + want - 1):
        cast = "signed" if port.signed else "unsigned"
        value = f"{cast}(tb_row{part})" if port.vector else f"tb_row{part}"
        drive.append(f"        {port.name} <= {value};")
    for number, (port, part) in enumerate(_parts(outputs, want - 1)):
        # a slice of one bit, so that scalars are vectors too
        part = part if port.vector else f"({part[1:-1]} downto {part[1:-1]})"
        value = f"std_logic_vector({port.name})" if port.vector else f"(0 => {port.name})"
        width = f"tb_value({port.width - 1} downto 0)"
        compare += [
            f"        {width} := {value};",
            f"        if not is_x({width}) then tb_known({number}) := true; end if;",
            f"        if tb_n >= 1 and tb_known({number}) and {width} /= tb_row{part} then",
            "            tb_bad := tb_bad + 1;",
            "            if tb_bad < 8 then",
            f'                report "cycle " & integer\'image(tb_n) & ": {port.name} "',
            f'                    & to_hstring({width}) & ", MyHDL " & to_hstring(tb_row{part});',
            "            end if;",
            "        end if;"]
    return "\n".join([
        "library ieee;",
        "use ieee.std_logic_1164.all;",
        "use ieee.numeric_std.all;",
        "use std.textio.all;",
        "entity tb is end entity;",
        "architecture replay of tb is",
        "    signal tb_clk : std_logic := '0';",
        *(f"    signal {p.name} : {_vhdl_type(p)};" for p in ports),
        "begin",
        f"dut: entity work.dut port map ({pins});",
        "process",
        '    file tb_file : text open read_mode is "rows.txt";',
        "    variable tb_line : line;",
        "    variable tb_bad, tb_n : integer := 0;",
        f"    variable tb_bits : bit_vector({wide + want - 1} downto 0);",
        f"    variable tb_row : std_logic_vector({wide + want - 1} downto 0);",
        f"    variable tb_value : std_logic_vector({want - 1} downto 0);",
        f"    type flags is array (0 to {len(outputs) - 1}) of boolean;",
        "    variable tb_known : flags := (others => false);",
        "begin",
        "    while not endfile(tb_file) loop",
        "        readline(tb_file, tb_line); read(tb_line, tb_bits);",
        "        tb_row := to_stdlogicvector(tb_bits);",
        *drive,
        "        wait for 1 ns;",
        *compare,
        "        tb_clk <= '1'; wait for 1 ns; tb_clk <= '0'; wait for 1 ns;",
        "        tb_n := tb_n + 1;",
        "    end loop;",
        "    for number in tb_known'range loop",
        "        if not tb_known(number) then",
        "            tb_bad := tb_bad + 1;",
        '            report "output " & integer\'image(number) & " is never defined";',
        "        end if;",
        "    end loop;",
        '    report "DONE bad=" & integer\'image(tb_bad);',
        "    wait;",
        "end process;",
        "end architecture;", ""])
