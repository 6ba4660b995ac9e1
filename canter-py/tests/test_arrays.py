"""Arrays are views of what was received; columns for Arrow."""

import gc
import itertools
import pickle
import sys
import threading

import numpy as np
import pytest

import canter
from canter import sim
from conftest import PATIENCE, run_script

COUNT = 100_000

#: Names with the arrays of each type that are large enough to be lent, and their dtypes.
LARGE = {
    "double": (np.linspace(-1e300, 1e300, COUNT), "f8"),
    "float": (np.linspace(-1e30, 1e30, COUNT, dtype="f4"), "f4"),
    "long": (np.arange(-COUNT // 2, COUNT // 2, dtype="i4"), "i4"),
    "short": (np.arange(COUNT, dtype="u4").astype("i2"), "i2"),
    "char": (np.arange(COUNT, dtype="u4").astype("u1"), "u1"),
}


@pytest.fixture
def arrays():
    pvs = {name: sim.Pv(array, type=name) for name, (array, _) in LARGE.items()}
    pvs["few"] = [1.0, 2.0]
    with sim.IOC(pvs) as ioc, ioc.client(timeout=PATIENCE) as client:
        yield client


def lender(array):
    """What has the memory that an array shows."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array


@pytest.mark.parametrize("name", LARGE)
def test_a_large_array_is_a_view_of_what_was_received(arrays, name):
    wanted, dtype = LARGE[name]
    value = arrays.get(name)
    assert type(lender(value)).__name__ == "Lent"
    assert value.dtype == dtype and value.dtype.isnative and value.flags.aligned
    assert np.array_equal(value, wanted)
    assert not value.flags.writeable
    with pytest.raises(ValueError):
        value[0] = 0
    with pytest.raises(ValueError):
        value.flags.writeable = True
    copy = value.copy()
    copy[0] = 1
    assert np.array_equal(value, wanted) and value.severity == 0 and value.timestamp > 0
    # By the buffer protocol, too.
    view = memoryview(value)
    assert view.readonly and view.nbytes == wanted.nbytes and view.format == np.dtype(dtype).char
    assert np.array_equal(pickle.loads(pickle.dumps(value)), wanted)


def test_the_memory_stays_as_long_as_somebody_looks_at_it(arrays):
    part = arrays.get("double")[10:20]
    others = [arrays.get("double") for _ in range(5)]
    del others
    gc.collect()
    assert np.array_equal(part, LARGE["double"][0][10:20])
    view = memoryview(arrays.get("long"))
    gc.collect()
    assert view[7] == LARGE["long"][0][7]
    lent = lender(arrays.get("char"))
    assert sys.getrefcount(lent) < 10 and len(lent) == COUNT


def test_readings_of_large_arrays_tell_what_those_of_small_ones_do(arrays):
    for name, (wanted, dtype) in LARGE.items():
        reading = arrays.get(name)._reading
        assert reading.count == COUNT and reading.is_array
        assert reading.raw() == wanted.astype(">" + dtype).tobytes()
        assert type(reading.plain) is np.ndarray and np.array_equal(reading.plain, wanted)
        assert len(repr(reading)) < 4000 and "…" in repr(reading)
    assert arrays.get("long")._reading.long_string() == str(-COUNT // 2)


def test_the_elements_asked_for(arrays):
    for count in (1, 2, 511, 512, 513, 5000):
        value = arrays.channel("double").get(count=count)
        assert np.array_equal(value, LARGE["double"][0][:count])


def test_monitors_and_batches_have_them_as_well(arrays):
    with arrays.monitor("long") as updates:
        first = updates.get(PATIENCE)
    assert np.array_equal(first, LARGE["long"][0]) and type(lender(first)).__name__ == "Lent"
    results = arrays.get_many(["double", "few", "short"])
    assert np.array_equal(results[0], LARGE["double"][0])
    assert results.values.tolist() == [LARGE["double"][0][0], 1.0, 0.0]
    # Two who look at one result see the same memory.
    assert lender(results[0]) is not None and np.array_equal(results[0], results[0])


def test_threads_that_get_the_same_array(arrays):
    wrong = []

    def get():
        for _ in range(20):
            if not np.array_equal(arrays.get("double"), LARGE["double"][0]):
                wrong.append(1)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_without_numpy():
    with sim.IOC({"x": sim.Pv(np.arange(COUNT, dtype=float)), "few": [1.0, 2.0]}) as ioc:
        printed = run_script(
            """
            import sys
            sys.modules["numpy"] = None
            import gc
            import canter
            value = canter.get("x", timeout=60)
            view = value.memoryview()
            assert view.readonly and view.format == "d" and len(value) == 100_000
            del value
            gc.collect()
            assert view[99_999] == 99_999.0
            assert view.obj._lent.address
            print(canter.get("few", timeout=60).tolist(), view[3:5].tolist())
            """,
            ioc,
        )
    assert printed.strip() == "[1.0, 2.0] [3.0, 4.0]"


def columns(results):
    """The columns as Arrow's own library for C reads them."""
    nanoarrow = pytest.importorskip("nanoarrow")
    array = nanoarrow.c_array(results)
    names = [array.schema.child(n).name for n in range(array.n_children)]
    return {name: nanoarrow.Array(array.child(n)) for n, name in enumerate(names)}


def test_results_are_columns_of_arrow(client):
    client.get_many(["valve"], describe=True)
    results = client.get_many(["motor", "valve", "note", "nowhere", "wave"], timeout=3)
    found = columns(results)
    assert list(found) == ["name", "value", "text", "timestamp", "severity", "error"]
    assert found["name"].to_pylist() == results.names
    assert found["value"].to_pylist() == [1.5, 1.0, None, None, 1.0]
    assert found["text"].to_pylist() == [None, "Open", "hello", None, None]
    assert found["severity"].to_pylist() == [0, 0, 0, None, 0]
    stamps = found["timestamp"].to_pylist()
    assert stamps[3] is None and stamps[0].timestamp() == pytest.approx(results[0].timestamp / 1e9)
    errors = found["error"].to_pylist()
    assert errors[3] == str(results[3]) and [error is None for error in errors] == [True] * 3 + [False, True]


def test_arrow_of_groups_none_and_many(client):
    group = client.group("stage", [("position", "motor"), ("label", "note")])
    assert columns(group.get())["name"].to_pylist() == ["position", "label"]
    assert columns(client.get_many([]))["value"].to_pylist() == []
    many = client.get_many(itertools.islice(itertools.cycle(["motor", "count"]), 10_000))
    found = columns(many)
    assert found["value"].to_pylist() == [1.5, 5.0] * 5000
    del many
    gc.collect()
    assert found["name"].to_pylist()[-1] == "count"


@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_libraries_of_tables_take_results(client, library):
    module = pytest.importorskip(library)
    results = client.get_many(["motor", "note", "nowhere"], timeout=0.2)
    table = module.table(results) if library == "pyarrow" else module.DataFrame(results)
    wanted = ["value", "text", "error"]
    # Without Pandas, pyarrow makes no objects of nanoseconds.
    columns = table.select(wanted).to_pydict() if library == "pyarrow" else table.to_dict(as_series=False)
    assert columns["value"] == [1.5, None, None] and columns["text"] == [None, "hello", None]
    assert isinstance(results[2], canter.ConnectTimeout) and columns["error"][2] == str(results[2])


def test_streams_of_arrow_have_the_same_columns(client):
    import nanoarrow
    from canter import _arrow

    results = client.get_many(["motor", "note", "nowhere"], timeout=0.2)
    whole = nanoarrow.Array(results).to_pylist()
    stream = nanoarrow.ArrayStream(results).read_all()
    assert stream.to_pylist() == whole and len(whole) == 3
    for _ in range(100):
        # Nobody takes it.
        results.__arrow_c_stream__()
        assert nanoarrow.ArrayStream(results).read_all().to_pylist() == whole
    del stream
    gc.collect()
    assert not _arrow._open and not _arrow._held
