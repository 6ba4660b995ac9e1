"""Ramps, scans, matches, groups, recordings: blocking and for asyncio."""

from __future__ import annotations

import asyncio
import csv
import json
import math
from contextlib import aclosing

import pytest

import canter
from canter import Axis, Member, sim
from canter.aio import AsyncClient
from conftest import PATIENCE


@pytest.fixture
def magnet():
    """A magnet whose read-back follows, and a BPM that depends on it."""

    def follow(put):
        if put.name == "q:set":
            # The orbit has followed when the read-back says that the magnet is there.
            ioc["bpm:x"] = 2.0 * put.value
            ioc["q:read"] = put.value

    pvs = {
        "q:set": sim.Pv(1.0, units="A", control=(-10, 10)),
        "q:read": 1.0,
        "bpm:x": 2.0,
        "k:set": sim.Pv(0.0, control=(-1, 1)),
        "fixed": sim.Pv(1.0, read_only=True),
        "mode": sim.Pv("off", states=["off", "on"]),
        "wave": [1.0, 2.0],
        "note": "hello",
    }
    with sim.IOC(pvs, on_put=follow) as ioc:
        yield ioc


@pytest.fixture
def client(magnet):
    with magnet.client(timeout=PATIENCE) as client:
        yield client


def run_async(magnet, story):
    async def main():
        async with AsyncClient(environ=magnet.env, repeater_port=0, timeout=PATIENCE) as client:
            return await story(client)

    return asyncio.run(main())


# -- matches


def test_put_and_match(client):
    assert client.put_and_match("q:set", 3.0, "q:read", tolerance=0.1) == 3.0
    assert client.put_and_match("mode", "on", "mode", wait=True) == "on"
    rows = [("q:set", 4.0, "q:read", 0.1), (None, "on", "mode")]
    assert client.put_and_match_many(rows[:1]) == [4.0]
    assert client.put_and_match_many([rows[1]]) == ["on"]
    assert client.put_and_match_many([("q:set", 4.0, "q:read")], compare=True, hold=0.01) == [4.0]


def test_matches_that_do_not_come(client, magnet):
    with pytest.raises(canter.Unmatched, match='"bpm:x" stands at 10, not 5') as caught:
        client.put_and_match("q:set", 5.0, "bpm:x", timeout=0.3)
    assert caught.value.pv == "bpm:x" and caught.value.remedy and caught.value.elapsed >= 0.3
    with pytest.raises(canter.ValueProblem, match="nothing was put"):
        client.put_and_match("q:set", 6.0, "q:read", tolerance=-1.0)
    with pytest.raises(canter.AccessDenied):
        client.put_and_match("fixed", 6.0, "q:read")
    assert magnet["q:set"] == 5.0


def test_waiting_in_a_callback_is_refused(client, box):
    def changed(_value):
        try:
            client.wait_until("q:read", 7)
        except canter.BadRequest as error:
            box(str(error))
        box(client.put_and_match("q:set", 2.5, "q:read"))

    with client.monitor("note", changed):
        assert "in a callback" in box.next()
        assert box.next() == 2.5


def test_matches_for_asyncio(magnet):
    async def story(client):
        assert await client.put_and_match("q:set", 3.0, "q:read") == 3.0
        assert await client.wait_until("bpm:x", 6.0) == 6.0
        with pytest.raises(canter.Unmatched, match="stands at 3, not 4"):
            await client.put_and_match_many([(None, 4.0, "q:read")], timeout=0.2)
        with pytest.raises(canter.Unmatched):
            await client.wait_until("bpm:x", lambda value: value > 100, timeout=0.2)
        return await asyncio.gather(*(client.put_and_match("q:set", 1.0 * n, "q:read") for n in (2, 2, 2)))

    assert run_async(magnet, story) == [2.0] * 3


# -- ramps


def test_a_ramp(client, magnet):
    seen = []
    with client.monitor("q:set", seen.append):
        client.wait_until("q:set", 1.0)
        done = client.ramp("q:set", 2.0, step_size=0.25, period=0.001, read_back="q:read", tolerance=0.01)
        client.wait_until("q:set", 2.0)
    assert (done.before, done.now, done.steps) == (1.0, 2.0, 4) and done.elapsed > 0
    assert seen == [1.0, 1.25, 1.5, 1.75, 2.0]


def test_ramps_that_are_refused_move_nothing(client, magnet):
    with pytest.raises(canter.ValueProblem, match="limits of its control go from -10 to 10"):
        client.ramp("q:set", 11.0)
    with pytest.raises(canter.AccessDenied):
        client.ramp("fixed", 2.0)
    with pytest.raises(canter.BadRequest):
        client.ramp("q:set", 2.0, rate=-1.0)
    with pytest.raises(canter.BadRequest, match="put it to a number first"):
        client.ramp("note", 2.0)
    assert magnet["q:set"] == 1.0


def test_a_ramp_whose_read_back_does_not_follow(client):
    with pytest.raises(canter.Unmatched, match="NOT|stands at") as caught:
        client.ramp("k:set", 1.0, steps=4, period=0.001, read_back="q:read", tolerance=0.3, timeout=0.3)
    assert caught.value.pv == "q:read"


def test_a_ramp_for_asyncio_that_is_cancelled(magnet):
    async def story(client):
        done = await client.ramp("q:set", 2.0, steps=4, period=0.001)
        assert (done.now, done.steps) == (2.0, 4)
        task = asyncio.ensure_future(client.ramp("q:set", 10.0, steps=1000, period=0.05))
        await client.wait_until("q:set", lambda value: value > 2.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await client.get("q:set")

    assert 2.0 < run_async(magnet, story) < 10.0


# -- scans


def test_a_scan_of_two_axes(client, magnet):
    axes = [Axis("q:set", [1.0, 2.0, 3.0], "q:read", 0.01), Axis("k:set", [0.0, 0.5], 0.001)]
    scan = client.scan(axes, ["bpm:x", "note", "wave"])
    table = scan.run()
    assert [row.at for row in table] == [[q, k] for q in (1.0, 2.0, 3.0) for k in (0.0, 0.5)]
    assert [row.point for row in table] == list(range(6)) and table.rows[0].of == 6
    assert table["bpm:x"].tolist() == [2.0, 2.0, 4.0, 4.0, 6.0, 6.0]
    assert table["q:set"].tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert math.isnan(table["note"][0]) and table.rows[0].values[1] == "hello"
    assert table.rows[0].values[2].tolist() == [1.0, 2.0] and table["wave"][0] == 1.0
    assert table.rows[0].read_backs == [1.0, None] and table.rows[-1].elapsed > 0
    records = table.records
    assert records.dtype.names == ("timestamp", "q:set", "k:set", "bpm:x", "note", "wave")
    assert records["bpm:x"][5] == 6.0 and (records["timestamp"] > 0).all()
    assert (magnet["q:set"], magnet["k:set"]) == (1.0, 0.0)
    with pytest.raises(KeyError, match="bpm:x"):
        table["bmp:x"]


def test_a_scan_that_is_left_puts_its_axes_back(client, magnet):
    for row in client.scan(Axis("q:set", [5.0, 6.0, 7.0]), ["bpm:x"]):
        assert row.at == [5.0]
        break
    assert magnet["q:set"] == 1.0
    with pytest.raises(ZeroDivisionError):
        client.scan(Axis("q:set", [5.0, 6.0]), ["bpm:x"]).run(progress=lambda row: 1 / 0)
    assert magnet["q:set"] == 1.0
    client.scan(Axis("q:set", [5.0, 6.0]), ["bpm:x"], restore="never").run()
    assert magnet["q:set"] == 6.0


def test_scans_that_are_refused_move_nothing(client, magnet):
    cases = [
        ([], canter.BadRequest, "no points"),
        ([Axis("q:set", [])], canter.BadRequest, "no points"),
        ([Axis("q:set", [1.0, 99.0])], canter.ValueProblem, "go to 99"),
        ([Axis("q:set", [1.0, float("nan")])], canter.ValueProblem, "q:set"),
        ([Axis("fixed", [1.0])], canter.AccessDenied, "fixed"),
        ([Axis("note", [1.0])], canter.CanterError, "note"),
    ]
    for axes, kind, told in cases:
        with pytest.raises(kind, match=told):
            client.scan(axes, ["bpm:x"]).run()
    with pytest.raises(canter.ScanError, match="nowhere"):
        client.scan(Axis("q:set", [2.0]), ["nowhere"], timeout=0.3).run()
    with pytest.raises(ValueError, match="on_failure"):
        client.scan(Axis("q:set", [1.0]), [], restore="perhaps")
    assert magnet["q:set"] == 1.0


def test_a_scan_that_does_not_arrive(client, magnet):
    axis = Axis("k:set", [0.5], settle="q:read", tolerance=0.1, timeout=0.2)
    with pytest.raises(canter.Unmatched, match="put back where they stood"):
        client.scan(axis, ["bpm:x"]).run()
    assert magnet["k:set"] == 0.0


def test_a_scan_that_is_aborted(client, magnet):
    control = canter.Control()
    scan = client.scan(Axis("q:set", [5.0, 6.0, 7.0]), ["bpm:x"], control=control)
    with pytest.raises(canter.Aborted):
        scan.run(progress=lambda row: control.abort())
    assert control.aborted and magnet["q:set"] == 1.0


def test_scans_for_asyncio(magnet):
    async def story(client):
        axis = Axis("q:set", [1.0, 2.0, 3.0], "q:read", 0.01)
        rows = [row.values[0] async for row in client.scan(axis, ["bpm:x"])]
        async with aclosing(client.scan(axis, ["bpm:x"])) as scan:
            async for row in scan:
                if row.point == 1:
                    break
        with pytest.raises(canter.ValueProblem):
            async for _ in client.scan(Axis("q:set", [99.0]), []):
                pass
        return rows

    assert run_async(magnet, story) == [2.0, 4.0, 6.0]
    assert magnet["q:set"] == 1.0


# -- groups


def test_a_group(client, magnet, box):
    group = client.group("magnets", [Member("quad", "q:set", 0.01), "k:set", "mode"])
    assert group.names == ["quad", "k:set", "mode"] and len(group) == 3
    assert group.connect() == {"quad": None, "k:set": None, "mode": None}
    values = group.get()
    assert values["quad"] == 1.0 and values.to_dict() == {"quad": 1.0, "k:set": 0.0, "mode": 0}
    assert group.put({"quad": 2.0}) == {"quad": None}
    assert group.put([3.0, 0.5, "on"]) == {"quad": None, "k:set": None, "mode": None}
    subscriptions = group.monitor(lambda name, value: box((name, float(value))))
    box.until(("quad", 3.0))
    magnet["q:set"] = 4.0
    box.until(("quad", 4.0))
    for one in subscriptions:
        one.close()
    with pytest.raises(KeyError, match='did you mean "quad"'):
        group.put({"qaud": 1})
    with pytest.raises(ValueError, match="2 values for the 3 members"):
        group.put([1, 2])
    with pytest.raises(ValueError, match="more than once"):
        client.group("twice", ["q:set", "q:set"])


GROUPS = """
[group.magnets]
devices = ["q"]
attributes = ["set"]
pvs = ["k:set"]
tolerance = 0.01

[[group.magnets.member]]
pv = "mode"
name = "state"
order = -1
"""


def test_groups_of_a_file_and_their_snapshots(client, magnet, tmp_path):
    path = tmp_path / "groups.toml"
    path.write_text(GROUPS)
    group = client.load_groups(path)["magnets"]
    assert group.members["state"] == Member("state", "mode", 0.01, -1)
    assert group.snapshot(tmp_path / "now.toml") == {}
    assert not group.put({"q:set": 5.0, "state": "on"})["state"]
    dry = group.restore(tmp_path / "now.toml", dry_run=True)
    assert not dry.ok and dry.put == 0 and "stands at 5, saved is 1" in str(dry)
    report = client.restore(tmp_path / "now.toml")
    assert report.ok and report.put == 2
    assert [line.outcome for line in report.lines if line.pv == "q:set"] == ["restored"]
    assert (magnet["q:set"], magnet["mode"]) == (1.0, 0)


def test_mistakes_of_files_are_told(client, tmp_path):
    path = tmp_path / "groups.toml"
    path.write_text("[group.a]\npvss = ['x']\n[group.b]\ninclude = ['c']\n")
    with pytest.raises(canter.FileProblem) as caught:
        client.load_groups(path)
    assert (
        "pvss" in str(caught.value)
        and "groups.toml:2" in str(caught.value)
        and "groups.toml:4" in str(caught.value)
    )
    with pytest.raises(canter.FileProblem, match="missing.toml"):
        client.load_groups(tmp_path / "missing.toml")
    with pytest.raises(canter.FileProblem):
        client.restore(path)
    with pytest.raises(canter.FileProblem):
        client.group("g", ["q:set"]).snapshot(tmp_path / "no" / "where.toml")


def test_groups_for_asyncio(magnet, tmp_path):
    path = tmp_path / "groups.toml"
    path.write_text(GROUPS)

    async def story(client):
        group = client.load_groups(path)["magnets"]
        assert await group.get() == {"q:set": 1.0, "k:set": 0.0, "state": 0}
        assert await group.snapshot(tmp_path / "now.toml") == {}
        await group.put({"q:set": 3.0})
        report = await group.restore(tmp_path / "now.toml")
        found = await client.explain("q:set")
        return report.ok, report.put, found.works, (await client.group("one", ["q:set"]).get())

    assert run_async(magnet, story) == (True, 1, True, {"q:set": 1.0})


def test_results_as_a_structured_array(client):
    results = client.get_many(["q:set", "nowhere", "wave", "note"], timeout=0.5)
    records = results.records
    assert records["ok"].tolist() == [True, False, True, True]
    assert records["value"][0] == 1.0 and math.isnan(records["value"][1]) and records["value"][2] == 1.0
    assert records["timestamp"][0] > 0 and records["severity"].tolist()[1] == 3
    assert client.get_many(["q:set"]).records["ok"].tolist() == [True]


# -- recordings


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_recording(client, magnet, tmp_path, ending):
    path = tmp_path / f"run.{ending}"
    with client.record(["q:set", "wave", "note"], path) as recording:
        assert recording.wait(PATIENCE, rows=3)
        magnet["q:set"] = 2.0
        assert recording.wait(PATIENCE, rows=4)
        magnet["wave"] = [3.0, 4.0]
        magnet["note"] = 'with "quotes", and more'
        assert recording.wait(PATIENCE, rows=6)
    times, values = recording["q:set"]
    assert values.tolist() == [1.0, 2.0] and times[0] <= times[1]
    assert recording["wave"][1].tolist() == [1.0, 3.0] and math.isnan(recording["note"][1][0])
    records = recording.records
    assert (
        records.dtype.names == ("timestamp", "pv", "value", "severity")
        and len(records) == len(recording) == 6
    )
    if ending == "csv":
        with path.open(newline="") as file:
            rows = [(row["pv"], row["value"]) for row in csv.DictReader(file)]
        rows = [(pv, json.loads(value) if pv != "note" else value) for pv, value in rows]
    else:
        rows = [(row["pv"], row["value"]) for row in map(json.loads, path.read_text().splitlines())]
    assert [value for pv, value in rows if pv == "q:set"] == [1.0, 2.0]
    assert [value for pv, value in rows if pv == "wave"] == [[1.0, 2.0], [3.0, 4.0]]
    assert [value for pv, value in rows if pv == "note"] == ["hello", 'with "quotes", and more']


def test_a_recording_is_bounded_and_tells_of_gaps(client, magnet, tmp_path):
    path = tmp_path / "run.jsonl"
    recording = client.record("q:set", path, max_rows=2)
    for n in range(5):
        magnet["q:set"] = 10.0 + n
        client.wait_until("q:set", 10.0 + n)
    assert recording.wait(PATIENCE, rows=3) and len(recording) == 2 and recording.left_out >= 1
    magnet.stop()
    while not any(word == "disconnected" for *_, word in recording.events):
        recording.wait(0.01)
    recording.close()
    assert json.loads(path.read_text().splitlines()[-1])["status"] == "disconnected"
    with pytest.raises(ValueError, match=r"\.csv or \.jsonl"):
        client.record("q:set", tmp_path / "run.xlsx")
    with pytest.raises(OSError, match="no"):
        client.record("q:set", tmp_path / "no" / "run.csv")
    with pytest.raises(KeyError, match="q:set"):
        recording["q:sett"]
