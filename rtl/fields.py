"""The operands of the RUN in execution, and what is derived from them once for all."""

from __future__ import annotations

from myhdl import always, always_seq, block

from ..arch.fixed import V_BITS
from ..arch.isa import HEAD, Mode, Op, Run
from .signals import bit, word

FETCHED = ("stream", "stream_units")         # what only the stream fetcher uses
KEPT = tuple(field for field in Run.FIELDS if field.name not in FETCHED and not field.reserved)


def _register(field, config):
    """A register for a field, as wide as this machine needs it."""
    if field.width == 1:
        return bit()
    return word(_width(field, config))


def _width(field, config):
    """Bits of a field that the machine keeps."""
    if field.address:
        return config.address_bits
    return config.code_bits if field.name == "order" else field.width


class Fields:
    """Registers with the fields of `isa.Run`, from the cycle after the take on, addresses cut to
    the memory's size; and, one cycle later, what is derived from them.
    """

    def __init__(self, config):
        for field in KEPT:
            setattr(self, field.name, _register(field, config))
        self.max_run = bit()                            # MAX clusters
        self.clustered = bit()                          # mode CODE
        self.last_digit = word(len(self.digits))        # digits - 1
        self.clip = word(V_BITS)                        # bits radix_width - 1 and above


class _Slices:
    """The fields as slices of the instruction word."""

    def __init__(self, instruction, config):
        self.opcode = instruction(*HEAD[0].ends())
        for field in KEPT:
            setattr(self, field.name, instruction(field.lo) if field.width == 1 else
                    instruction(*field.ends(_width(field, config))))


@block
def run_fields(clk, reset, go, instruction, fields, taken, config):
    """Keeps the operands of the RUN that is taken.

    go, instruction: of the Command; fields: Fields, driven. taken: high in the cycle after the take
    of a RUN.
    """
    source = _Slices(instruction, config)
    opcode, code_mode, pass_mode = int(Op.RUN), int(Mode.CODE), int(Mode.PASS)
    every = (1 << V_BITS) - 1
    clips = tuple(every >> max(w - 1, 0) << max(w - 1, 0)
                  for w in range(1 << len(fields.radix_width)))

    @always_seq(clk.posedge, reset=reset)
    def announce():
        taken.next = go and source.opcode == opcode

    @always(clk.posedge)
    def take():
        if go:
            fields.origin.next = source.origin
            fields.image_pitch.next = source.image_pitch
            fields.chunk_pitch.next = source.chunk_pitch
            fields.dst.next = source.dst
            fields.dst_channel.next = source.dst_channel
            fields.dst_plane.next = source.dst_plane
            fields.dst_image.next = source.dst_image
            fields.x_step.next = source.x_step
            fields.x_wrap.next = source.x_wrap
            fields.y_step.next = source.y_step
            fields.y_wrap.next = source.y_wrap
            fields.channels.next = source.channels
            fields.pitch.next = source.pitch
            fields.image_rows.next = source.image_rows
            fields.images.next = source.images
            fields.height.next = source.height
            fields.width.next = source.width
            fields.chunk_images.next = source.chunk_images
            fields.chunk_rows.next = source.chunk_rows
            fields.chunk_columns.next = source.chunk_columns
            fields.mode.next = source.mode
            fields.shift.next = source.shift
            fields.digits.next = source.digits
            fields.radix_width.next = source.radix_width
            fields.order.next = source.order
            fields.kernel_bits.next = source.kernel_bits
            fields.split.next = source.split
            fields.x_start.next = source.x_start
            fields.x_mod.next = source.x_mod
            fields.y_start.next = source.y_start
            fields.y_mod.next = source.y_mod
            fields.base_bank.next = source.base_bank
            fields.offset_bank.next = source.offset_bank
            fields.cluster_bank.next = source.cluster_bank

    @always(clk.posedge)
    def derive():
        if taken:
            fields.max_run.next = fields.mode == pass_mode
            fields.clustered.next = fields.mode == code_mode
            fields.last_digit.next = fields.digits - 1

    @always(clk.posedge)
    def clip():
        if taken:
            fields.clip.next = clips[fields.radix_width]

    return announce, take, derive, clip
