"""The commands of a page, and the outputs that the page shows."""
import pathlib, re

PAGES = pathlib.Path(__file__).resolve().parents[2] / "docs/quick-start"


def section(page, heading):
    text = (PAGES / page).read_text()
    assert f"\n## {heading}\n" in text, f"{page} has no section {heading!r}"
    return re.split(r"^## ", text.split(f"\n## {heading}\n")[1], flags=re.M)[0]


def commands(page, heading):
    """The lines after "$ " of a section's console blocks; a line that ends in a backslash goes on in the next."""
    blocks = re.findall(r"^```console\n(.*?)^```", section(page, heading), flags=re.M | re.S)
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    found = [line[2:] for line in lines if line.startswith("$ ")]
    assert found, f"{page} has no command in {heading!r}"
    return found


def output(page, heading):
    """The text block of a section."""
    return re.search(r"^```text\n(.*?)^```", section(page, heading), flags=re.M | re.S)[1]
