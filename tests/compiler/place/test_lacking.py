"""What is too large for a machine even in bands is told with the least memory that works."""

import canonical
import pytest
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError


def test_refuses_any_batch_where_one_image_is_too_large():
    small = canonical.config(memory_codes=64)
    net = canonical.Builder(small, (2, 8, 8))
    net.output(net.conv("x", 2))
    with pytest.raises(CompileError, match="no batch fits"):
        pipeline.back(net.quantised(), small, 2)


def test_the_least_memory_that_works_is_named():
    small = canonical.config(memory_codes=64)
    net = canonical.Builder(small, (2, 8, 8))
    net.output(net.conv(net.conv("x", 2, padding=(1, 1, 1, 1)), 2))
    with pytest.raises(CompileError, match=r"layer net.conv1: what it needs at once, 3 lines of x "
                                           r"\(\d+ codes\), 1 line of conv1 \(\d+ codes\), does "
                                           r"not fit memory_codes = 64 of configuration 'test'; "
                                           r"it needs memory_codes = 256$"):
        pipeline.back(net.quantised(), small, 1)
    pipeline.back(net.quantised(), canonical.config(memory_codes=256), 1)
    with pytest.raises(CompileError):
        pipeline.back(net.quantised(), canonical.config(memory_codes=128), 1)
