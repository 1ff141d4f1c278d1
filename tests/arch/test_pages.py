"""docs/isa.md is what the instruction set says today."""

from kcnn.arch import isa, pages


def test_the_page_is_up_to_date():
    assert pages.PAGE.read_text() == pages.isa_page(), "run python -m kcnn.arch.pages"


def test_the_page_names_every_field_and_value():
    page = pages.isa_page()
    for kind in isa.INSTRUCTIONS:
        for field in kind.all_fields():
            assert f"`{field.name}`" in page and field.meaning in page
    for enum in (isa.Mode, isa.Table, isa.Op):
        for member in enum:
            assert f"| {int(member)} | {member.name} |" in page
    assert "| 8..." not in page and "0xF0..0xFB     LONG" in page


def test_examples_read_back():
    for op, example in pages.EXAMPLES.items():
        assert example.OP is op
        assert isa.parse(str(example)) == example
        assert str(example) in pages.isa_page()
    assert set(pages.EXAMPLES) == {kind.OP for kind in isa.INSTRUCTIONS}
