"""The activation memory: rows of an even and an odd word of P codes, every code written on its own.

                 +------------------+
    enables[q] ->| cells 4q..4q+3   |-> part of `even` (q < P/4) or `odd`
    codes[q]   ->| of every row     |
                 +------------------+
"""

from __future__ import annotations

from myhdl import ConcatSignal, always_comb, block

from .ram import cell_ram
from .signals import word


class MemoryWrite:
    """A write in this cycle: bit b of enables[q] writes code b of codes[q] to cell 4q + b of its
    row; q < P/4 is the even word in row `even_row`, the others the odd word in row `odd_row`.
    """

    def __init__(self, config):
        self.even_row = word((config.rows - 1).bit_length())
        self.odd_row = word((config.rows - 1).bit_length())
        self.enables = [word(4) for _ in range(config.row_codes // 4)]
        self.codes = [word(4 * config.code_bits) for _ in range(config.row_codes // 4)]


@block
def activation_memory(clk, write, even_row, odd_row, even, odd, config):
    """even: the even word of the row that `even_row` named in the cycle before; odd likewise.

    write: MemoryWrite.
    """
    quads = config.lanes // 4
    even_parts = [word(4 * config.code_bits) for _ in range(quads)]
    odd_parts = [word(4 * config.code_bits) for _ in range(quads)]
    even_joined = ConcatSignal(*reversed(even_parts)) if quads > 1 else even_parts[0]
    odd_joined = ConcatSignal(*reversed(odd_parts)) if quads > 1 else odd_parts[0]
    even_cells = [cell_ram(clk, write.enables[q], write.even_row, write.codes[q],
                           even_row, even_parts[q], config.rows) for q in range(quads)]
    odd_cells = [cell_ram(clk, write.enables[quads + q], write.odd_row, write.codes[quads + q],
                          odd_row, odd_parts[q], config.rows) for q in range(quads)]

    @always_comb
    def words():
        even.next = even_joined
        odd.next = odd_joined

    return even_cells, odd_cells, words
