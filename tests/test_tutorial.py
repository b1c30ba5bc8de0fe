"""The tutorial: its cells run from the first to the last, and what it shows is what they printed."""

from pathlib import Path

import nbformat
import pytest

TUTORIAL = Path("docs/tutorial.ipynb")


def test_every_cell_that_prints_has_its_output():
    """As it was run from top to bottom in one go, without an error and without a path of somebody's machine."""
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.outputs for cell in cells[1:])
    text = str([cell.outputs for cell in cells])
    assert "Traceback" not in text and "ERROR" not in text and "/home/" not in text and "/work/" not in text


@pytest.mark.slow
@pytest.mark.thorough
def test_the_tutorial_runs_at_small_size(project, monkeypatch):
    from nbclient import NotebookClient

    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IPYTHONDIR", str(project.root.parent / "ipython"))
    with project.params() as params:
        params["sample"]["pool"] += 20
    notebook = nbformat.read(TUTORIAL, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(project.root)}}).execute()
    shown = [str(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    assert "Running stage 'sample'" in shown[1]
    assert "Running stage 'label'" in shown[3] and "Running stage 'train'" in shown[5]
    assert "teachers together" in shown[6]
    assert "A warm, funny, engaging film." in shown[7] and "probability" in shown[7]
