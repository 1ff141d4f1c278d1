"""Write the pages that are generated from the sources: `python docs/generate.py` (or `make docs`)."""

from __future__ import annotations

from pathlib import Path

from kcnn.arch.isa import reference_page

HERE = Path(__file__).resolve().parent
PAGES = {"isa.md": reference_page}


def main() -> None:
    """Write every page whose text differs."""
    for name, text in PAGES.items():
        page = HERE / name
        made = text()
        if not page.exists() or page.read_text() != made:
            page.write_text(made)
            print(f"{page.name} written")


if __name__ == "__main__":
    main()
