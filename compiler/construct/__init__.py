"""The constructors of networks: each checks what it is given and adds a node to the traced graph.

No source of networks is known here: values and arrays come in, values go out, and what has no
meaning is refused by a sentence. `compiler/frontend` reads torch's networks and calls these.
"""
