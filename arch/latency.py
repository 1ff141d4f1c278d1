"""How deep the blocks of the compute unit are: clocks from their input to their output, each once.

    tap        issue > addresses > memory > aligner > decode > maxima > [sums >] multipliers
    operation  total's place > read > select > requantize > narrow > clustering > aim > write

With M = 1 there are no sums. The blocks of `rtl` are built as deep as is said here, and their tests
measure it; what goes along beside a value takes its delay from the functions below, and `timing`
has the totals that docs/machine.md speaks of.
"""

from __future__ import annotations

from .config import Config

# ---- a tap, from its issue on ------------------------------------------------------------------
ISSUE = 1            # the tap with its table entries
ADDRESSES = 3        # rows and offset of its window
PAIR = 1             # from the tap to the decode-table pair of its base entry
MEMORY = 1           # an even and an odd word
MERGE = 1            # the aligner: P codes of the two words
DECODE = 1           # their values
MAXIMA = 1           # the largest so far (MAX), or the values themselves
SUMS = 1             # from a cluster's last values to its captured sums
OPERAND = 1          # multipliers, from a step (M = 1: the sums' place) on: the sum chosen (M > 1),
PRODUCT = 1          # its product,
ADD = 1              # added to the total,
KEEP = 1             # which can be read

# ---- an operation of the drain -----------------------------------------------------------------
PLACE = 1            # from the operation to the place of its totals
READ = 1             # what the multipliers kept there
SELECT = 1           # the totals of its positions
SCALE = 2            # from a total to its m_k
HEAD = 1             # from a channel's number to its m_k
REQUANTIZE = 4       # v
NARROW = 1           # what the search compares, or the digits
AIM = 1              # cells and rows of what is served
WRITE = 1            # the memory's write port


def rotate_levels(config: Config) -> int:
    """Levels of the aligner behind its merge: two bits of the rotation in each."""
    return config.lane_bits // 2


def tap_to_decode(config: Config) -> int:
    """From a tap to its codes at the decode tables."""
    return ADDRESSES + MEMORY + MERGE + rotate_levels(config)


def tap_to_maxima(config: Config) -> int:
    """From a tap to its values at the maxima."""
    return tap_to_decode(config) + DECODE


def tap_to_sums(config: Config) -> int:
    """From a tap to its values at the sums; M = 1: at the multipliers."""
    return tap_to_maxima(config) + MAXIMA


def multiply(config: Config) -> int:
    """From a cluster's last step of the multipliers to totals that can be read."""
    return PRODUCT + ADD + KEEP + (OPERAND if config.share > 1 else 0)


def issue_to_steps(config: Config) -> int:
    """From the issue of a cluster's last tap to the first step of the multipliers."""
    return ISSUE + tap_to_sums(config) + (SUMS if config.share > 1 else 0)


def tap_in_flight(config: Config) -> int:
    """After the issue of a tap, the clocks in which something of it is on its way, at most: M = 1,
    which has neither sums nor operands, could do with two less.
    """
    return (ISSUE + tap_to_sums(config) + SUMS + config.share + OPERAND + PRODUCT + ADD + KEEP)


def clustering(config: Config) -> int:
    """From what the search compares to the code: a level for each bit, and the map of codes."""
    return config.code_bits + 1


def operation_to_total() -> int:
    """From an operation of the drain to the totals of its positions."""
    return PLACE + READ + SELECT


def operation_to_digit() -> int:
    """From an operation of the drain to v cut down: the digit is chosen there."""
    return operation_to_total() + REQUANTIZE + NARROW


def operation_to_aim(config: Config) -> int:
    """From an operation of the drain to what `aim` takes, the cycle before its codes."""
    return operation_to_digit() + clustering(config) - AIM
