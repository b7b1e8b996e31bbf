import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(page: Path) -> list[str]:
    """Return the Python blocks of a page; those with a viewer belong to napari."""
    if not page.exists():
        return []
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [block for block in blocks if "viewer" not in block]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if examples(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_python_examples_of_a_page_run_one_after_the_other(
    page, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "example"}
    for example in examples(page):
        exec(compile(example, str(page), "exec"), names)
    if "record" in names:
        assert names["record"].status == "done"
    else:
        assert names["result"].image.shape == names["noisy"].shape


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_files_that_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target
