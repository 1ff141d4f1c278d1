"""kcnn in Python, what the command line is made of (docs/api.md).

    from kcnn import api

    net = api.compile(model, calibration=images, config="small")
    logits = net.run(images, engine="tlm")
    print(net.compare(images[:2], ["reference", "tlm", "myhdl"]))
    net.save("net.kbin")
    api.convert(net.config, "verilog", "out/hdl")

Nothing here prints. Data that look wrong are a KcnnWarning; what cannot be done is a KcnnError, a
sentence. torch is imported only by what reads a float network.
"""

from ..arch.config import Config
from ..arch.errors import KcnnError, KcnnWarning
from ..engines.execute import ENGINES
from .accuracy import Accuracy
from .comparison import Comparison
from .compiling import CompiledNet, Explanation, compile, stages
from .compressing import Compressed, compress
from .execution import Execution
from .machines import configs, convert
from .net import Net, assemble, load

__all__ = ["ENGINES", "Accuracy", "Comparison", "CompiledNet", "Compressed", "Config", "Execution",
           "Explanation", "KcnnError", "KcnnWarning", "Net", "assemble", "compile", "compress",
           "configs", "convert", "load", "stages"]
