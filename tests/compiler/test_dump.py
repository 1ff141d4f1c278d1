"""Every form is a text of a few lines, a program what its layers cost."""

from __future__ import annotations

import canonical
from kcnn.arch.overview import overview
from kcnn.compiler import pipeline
from kcnn.compiler.dump import text
from kcnn.compiler.stages import Stage


def test_every_form_is_a_text() -> None:
    forms = dict(pipeline.walk(canonical.two_layers(), pipeline.Settings(canonical.TINY)))
    for stage, form in forms.items():
        if stage != Stage.ASSEMBLE:
            assert text(form) == f"{form}\n" and "array(" not in text(form)
    assert text(forms[Stage.ASSEMBLE]) == overview(forms[Stage.ASSEMBLE]) + "\n"
