"""The notebook of the examples, executed without a browser; and what notebooks show, by itself."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from canter import sim
from conftest import PATIENCE

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "ring.ipynb"
MISSING = [name for name in ("nbclient", "ipykernel", "matplotlib") if importlib.util.find_spec(name) is None]


@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: tests/requirements.txt")
def test_the_notebook_of_the_examples_shows_what_it_says(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    # A kernel of this interpreter, whatever is installed elsewhere.
    kernel = tmp_path / "kernels" / "ours"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "ours", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, 4)
    NotebookClient(notebook, timeout=PATIENCE, kernel_name="ours").execute()
    shown = [
        [output.get("data", {}) for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"
    ]
    html = ["".join("".join(data.get("text/html", "")) for data in outputs) for outputs in shown]
    pictures = [sum("image/png" in data for data in outputs) for outputs in shown]
    start, pv, later, orbit, nobody, group, many, plot, orbit_plot, scan, awaited, _ = range(12)
    assert "<b>299.8</b> mA" in html[pv] and "#2e9e4f" in html[pv]
    # Out of the yellow limit, with a line of forty values.
    assert "MINOR LOW" in html[later] and "#e0b000" in html[later]
    assert html[later].split('points="')[1].split('"')[0].count(",") == 41
    assert "100 elements" in html[orbit] and "<svg" in html[orbit]
    assert "no server answered" in html[nobody] and "#808080" in html[nobody]
    assert html[group].count("<tr>") == 6 and "Mustermann &lt;shift&gt;" in html[group] and "MINOR LOW" in html[group]
    assert "2000 of 2000" in html[many] and "… and 1900 more" in html[many]
    assert "scan of motor:m1" in html[scan] and "41 of 41" in html[scan]
    assert [pictures[cell] for cell in (plot, orbit_plot, scan)] == [1, 1, 1]
    assert shown[awaited][0]["text/plain"] == "'top-up'"
    assert start == 0 and not html[start]


def test_what_a_pv_shows(ioc, client):
    motor = client.channel("motor")
    assert "<b>1.500</b> mm" in motor._repr_html_()
    ioc["motor"] = 9.5
    shown = motor._repr_html_()
    assert "MAJOR HIHI" in shown and "#d03030" in shown
    for name, text in {"valve": "<b>Open</b>", "wave": "3 elements", "note": "<b>hello</b>", "count": "<b>5</b>"}.items():
        assert text in client.channel(name)._repr_html_()
    motor.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ImportError, match="pip install matplotlib"):
            client.channel("wave").plot()


def test_tables_of_groups_and_results(ioc, client):
    group = client.group("all of it", ["motor", "valve", "nothing:here"])
    results = client.get_many(["motor", "valve", "nothing:here"], timeout=0.5, describe=True)
    shown = results._repr_html_()
    assert "3 PVs, 1 failed" in shown and "nothing:here" in shown and "<b>Open</b>" in shown
    assert "all of it: 3 PVs" in group._repr_html_()


def test_bars_tell_how_far_it_is(ioc, client, capsys):
    told = []
    results = client.get_many(["motor", "count"], progress=lambda done, of: told.append((done, of)))
    assert results.ok and told[-1] == (2, 2)
    client.get_many(["motor", "count"], progress=True)
    assert "get [##############################] 2 of 2" in capsys.readouterr().err
    from canter import Axis

    table = client.scan(Axis("motor", [1.0, 2.0, 3.0]), ["count"]).run(progress=True)
    assert len(table) == 3 and "scan of motor [" in capsys.readouterr().err
    with pytest.raises(Exception, match="nothing:here"):
        client.get_many(["nothing:here"], timeout=0.2, throw=True, progress=True)


def test_an_ioc_with_a_trail_is_left_without_traces():
    with sim.IOC({"x": 1.0}) as ioc, ioc.client(timeout=PATIENCE) as client:
        client.channel("x")._repr_html_()
        client.channel("x").close()
        client.channel("x")._repr_html_()
