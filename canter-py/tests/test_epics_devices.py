"""The devices of PyEpics that are made of many PVs, on IOCs that have these PVs."""

import pytest
from canter import epics, sim
from canter.epics import devices
from canter.epics.devices import ad_mca, xspress3
from conftest import PATIENCE


@pytest.fixture(autouse=True)
def _default(request):
    """No channel of another test's IOC is left."""
    yield
    epics.ca.clear_cache()
    epics.pv.clear_pvcache()


def served(pvs):
    return sim.IOC(pvs)


def until(ioc, name, value):
    """Puts without waiting arrive by and by."""
    import time

    def now():
        found = ioc[name].value
        return bytes(found).split(b"\0")[0].decode() if isinstance(value, str) and not isinstance(found, str) else found

    ends = time.monotonic() + PATIENCE
    while now() != value:
        assert time.monotonic() < ends, f"{name} is {now()!r}, not {value!r}"
        time.sleep(0.01)


@pytest.fixture
def at(monkeypatch):
    """Has the default client find an IOC."""
    import canter

    opened = []

    def begin(ioc):
        for name, value in ioc.env.items():
            monkeypatch.setenv(name, value)
        canter.configure(repeater_port=0, timeout=PATIENCE)
        opened.append(ioc)
        return ioc

    yield begin
    for ioc in opened:
        ioc.close()
    canter.configure(repeater_port=0, addr_list="127.0.0.1:1", auto_addr_list=False)


def of(kind, prefix, **values):
    """Numbers for all attributes of a device, but for those that are given."""
    return {f"{prefix}{name}": values.get(name, 0) for name in kind.attrs}


def test_a_camera(at):
    modes = sim.Pv("Single", states=["Single", "Multiple", "Continuous"])
    ioc = at(served(of(devices.AD_Camera, "SIM:cam1:", ImageMode=modes, ImageMode_RBV=modes, AcquireTime=0.5)))
    camera = devices.AD_Camera("SIM:cam1:")
    assert camera.AcquireTime == 0.5 and camera.get("ImageMode", as_string=True) == "Single"
    puts = []
    ioc["SIM:cam1:ImageMode"].on_put(lambda put: puts.append(put.value))
    camera.ensure_value("ImageMode", 0, wait=True)
    camera.ensure_value("ImageMode", "Single", wait=True)
    assert puts == []
    camera.ensure_value("ImageMode", "Continuous", wait=True)
    assert puts == [2] and ioc["SIM:cam1:ImageMode"] == 2
    camera.ensure_value("TriggerSoftware", 1, wait=True)
    assert ioc["SIM:cam1:TriggerSoftware"] == 1
    with pytest.raises(AttributeError):
        camera.NoSuchThing  # noqa: B018


def test_a_plug_in_that_writes_files(at):
    texts = {name: sim.Pv("", type="text", capacity=256) for name in ("FilePath", "FileTemplate", "FileName")}
    shown = {"FileTemplate_RBV": "%s%s_%3.3d.tif", "FilePath_RBV": "/data/", "FileName_RBV": "a",
             "FullFileName_RBV": "/data/a_007.tif", "FileNumber": 7}  # fmt: skip
    ioc = at(served(of(devices.AD_FilePlugin, "SIM:TIFF1:", **texts, **shown)))
    plugin = devices.AD_FilePlugin("SIM:TIFF1:")
    plugin.setFileName("b")
    plugin.setPath("/tmp/x")
    plugin.nextFileNumber()
    until(ioc, "SIM:TIFF1:FileNumber", 8)
    until(ioc, "SIM:TIFF1:FileName", "b")
    until(ioc, "SIM:TIFF1:FilePath", "/tmp/x")
    assert plugin.getFileNameByIndex(7) == plugin.getLastFileName() == "/data/a_007.tif"
    assert plugin.WriteComplete()
    plugin.setFileNumber()
    until(ioc, "SIM:TIFF1:AutoIncrement", 1)


def mca(record, rois=(), calib=(0.0, 0.01, 0.0)):
    pvs = {f"{record}.{name}": 0.0 for name in devices.MCA._attrs if name not in ("CALO", "CALS", "CALQ")}
    pvs |= {f"{record}.{name}": value for name, value in zip(("CALO", "CALS", "CALQ"), calib)}
    pvs |= {f"{record}.VAL": [float(n) for n in range(100)], f"{record}.NORD": 100}
    for number in range(devices.mca.MAX_ROIS):
        name, low, high = rois[number] if number < len(rois) else ("", -1, -1)
        pvs |= {f"{record}.R{number}NM": name, f"{record}.R{number}LO": low, f"{record}.R{number}HI": high,
                f"{record}.R{number}": 100.0 + number, f"{record}.R{number}N": 1.0 + number}  # fmt: skip
    return pvs


def test_an_analyser_and_its_regions(at):
    regions = [("Fe", 10, 19), ("Cu", 30, 39)]
    ioc = at(served({**mca("XF:mca1", regions), **mca("XF:mca2", calib=(0.5, 0.02, 0.0))}))
    one, other = devices.MCA("XF:", mca=1), devices.MCA("XF:mca2")
    assert [(roi.name, roi.left, roi.right) for roi in one.get_rois()] == regions
    assert repr(one.rois[0]) == "<ROI 'XF:mca1.R0', name='Fe', range=[10:19]>"
    iron = one.rois[0]
    assert (iron.center, iron.width, iron.total, iron.net) == (14, 9, 100.0, 1.0)
    data = one.get("VAL")
    assert iron.get_counts(data) == sum(range(10, 20))
    assert iron.get_counts(data, net=True) == sum(range(10, 20)) - 14.5 * 9
    assert one.get_energy()[-1] == pytest.approx(0.99)
    one.add_roi("Co", 20, 25)
    assert [roi.NM for roi in one.get_rois()] == ["Fe", "Co", "Cu"]
    one.del_roi("fe")
    assert [(roi.NM, roi.LO, roi.HI) for roi in one.get_rois()] == [("Co", 20, 25), ("Cu", 30, 39)]
    assert ioc["XF:mca1.R2LO"] == -1 and ioc["XF:mca1.R2NM"] == ""
    # The same energies: those of these regions are below all channels of the other one.
    other.set_rois(one.get_rois(), calib=one.get_calib())
    assert other.get_rois() == []
    one.add_roi("Ar", 90, 99)
    other.add_roi("Ar", 90, 99, calib=one.get_calib())
    # 0.90 to 0.99 keV
    assert [(roi.NM, roi.LO, roi.HI) for roi in other.get_rois()] == [("Ar", 20, 24)]
    one.clear_rois()
    assert one.get_rois() == [] and ioc["XF:mca1.R0HI"] == -1


def test_electronics_of_several_elements(at, tmp_path):
    regions = [("Fe", 10, 19), ("Cu", 30, 39)]
    pvs = {**mca("XF:mca1", regions), **mca("XF:mca2", regions, (0.0, 0.01, 0.0))}
    pvs |= of(devices.MultiXMAP, "XF:")
    pvs |= {f"XF:netCDF1:{name}": 0 for name in devices.MultiXMAP.pathattrs}
    pvs |= {f"XF:dxp{n}:{name}": 1.5 for n in (1, 2) for name in (*devices.DXP._attrs,)}
    pvs |= {"XF:dxp1:CurrentPixel": 1}
    ioc = at(served(pvs))
    xmap = devices.MultiXMAP("XF:", nmca=2)
    file = tmp_path / "rois.dat"
    text = xmap.Write_CurrentConfig(str(file))
    assert file.read_text() == text and "ROI01 = Cu | 30 39 30 39" in text and "SLOPE  = 0.01 0.01" in text
    xmap.mcas[0].clear_rois()
    xmap.mcas[1].clear_rois()
    xmap.restore_rois(str(file))
    assert [[(roi.NM, roi.LO, roi.HI) for roi in each] for each in xmap.get_rois()] == [regions, regions]
    file.write_text("[rois]\nROI00 = Fe 10 19\n")
    with pytest.raises(ValueError, match="roi00 is 'Fe 10 19'"):
        xmap.restore_rois(str(file))
    xmap.setFileNumCapture(5)
    until(ioc, "XF:netCDF1:NumCapture", 5)
    xmap.put("PixelsPerRun", 3, wait=True)
    assert xmap.finish_pixels(timeout=0.01) == (False, 2)
    xmap.dxps[0].put("CurrentPixel", 3, wait=True)
    assert xmap.finish_pixels() == (True, 0)


def test_a_scan_record(at):
    fields = {f"S:scan1.{name}": 0 for name in devices.Scan.attrs}
    fields |= {f"S:scan1.P{n}{name}": 0.0 for n in range(1, 5) for name in devices.Scan.pos_attrs}
    fields |= {f"S:scan1.{kind}{n}PV": "" for kind in "PRT" for n in range(1, 5)}
    fields |= {f"S:scan1.P{n}PA": sim.Pv([0.0], capacity=10) for n in range(1, 5)}
    fields |= {f"S:scan1.T{n}{name}": 0.0 for n in range(1, 5) for name in ("NV", "CD")}
    fields |= {f"S:scan1.D{n:02}PV": "" for n in range(1, 71)}
    fields |= {"S:scan1.RTYP": "sscan", "S:scan1.SMSG": "old", "S:scan1.PASM": 0, "S:other.RTYP": "ao"}
    ioc = at(served(fields))
    scan = devices.Scan("S:scan1")
    until(ioc, "S:scan1.SMSG", "")
    assert scan.add_positioner("S:m1.VAL", start=-1.0, stop=1.0, step=0.5) == 1
    assert scan.add_positioner("S:m2.VAL", mode="table", absolute=False, array=[1.0, 4.0]) == 2
    assert scan.add_detector("S:det") == 1 and scan.add_detector("S:det2") == 2
    assert scan.add_trigger("S:count", 3.0) == 1
    scan.npts = 5
    until(ioc, "S:scan1.NPTS", 5)
    until(ioc, "S:scan1.P1SI", 0.5)
    assert (ioc["S:scan1.P1PV"], ioc["S:scan1.R1PV"], ioc["S:scan1.P1SP"]) == ("S:m1.VAL", "S:m1.RBV", -1)
    until(ioc, "S:scan1.P2SM", 1)
    until(ioc, "S:scan1.P2AR", 1)
    assert list(ioc["S:scan1.P2PA"]) == [1, 4] and ioc["S:scan1.D02PV"] == "S:det2" and ioc["S:scan1.T1CD"] == 3
    assert scan.start == -1.0 and scan.device == "S:m1.VAL"
    scan.run(wait=True, timeout=PATIENCE)
    assert ioc["S:scan1.EXSC"] == 1
    scan.reset()
    until(ioc, "S:scan1.D70PV", "")
    until(ioc, "S:scan1.R2PV", "")
    assert ioc["S:scan1.P1PV"] == ""
    for number in range(1, 5):
        assert scan.add_trigger("S:count") == number
    with pytest.raises(devices.scan.ScanException, match="4 Triggers already defined"):
        scan.add_trigger("S:count")
    with pytest.raises(devices.scan.ScanException, match="it is of type ao, not sscan"):
        devices.Scan("S:other")


def test_a_multi_channel_scaler(at, tmp_path, monkeypatch):
    pvs = of(devices.Struck, "SIS:")
    for number in (1, 2):
        pvs[f"SIS:mca{number}"] = [100.0 * number + n for n in range(6)]
    ioc = at(served(pvs))
    monkeypatch.setattr(devices.struck, "MCA", lambda prefix, mca, nrois: (prefix, mca))
    struck = devices.Struck("SIS", nchan=2, clockrate=50.0)
    struck.ExternalMode(initialadvance=1, prescale=4)
    until(ioc, "SIS:InitialChannelAdvance", 1)
    assert ioc["SIS:ChannelAdvance"] == 1 and ioc["SIS:Prescale"] == 4
    file = tmp_path / "struck.dat"
    assert struck.saveMCAdata(str(file), npts=3) == (2, 3)
    lines = file.read_text().splitlines()
    assert lines[1] == "# Nchannels, Nmca = 3, 2" and lines[4] == "# SIS:mca1 | SIS:mca2"
    assert [line.split() for line in lines[6:]] == [["2", "200"], ["2", "201"], ["2", "202"]]
    assert struck.saveMCAdata(str(file), mcas=[2], ignore_prefix="MCA") == (0, 0)


def xspress(elements):
    pvs = {f"X:det1:{name}": 0 for name in xspress3.Xspress3.det_attrs}
    pvs |= {f"X:HDF1:{name}": 0 for name in xspress3.Xspress3.pathattrs}
    pvs["X:HDF1:FilePath"] = sim.Pv("", type="text", capacity=256)
    for one in range(1, elements + 1):
        pvs[f"X:MCA{one}:ArrayData"] = [float(n) for n in range(100)]
        for scaler in range(1, 9):
            pvs[f"X:C{one}SCA{scaler}:Value_RBV"] = 0.0
        for name in ("TSNumPoints", "TSControl"):
            pvs |= {f"X:MCA{one}ROI:{name}": -1, f"X:C{one}SCA:{name}": -1}
        for roi in range(1, ad_mca.MAX_ROIS + 1):
            pvs[f"X:MCA{one}ROI:{roi}:Name"] = ""
            for name in ad_mca.ADMCAROI._attrs:
                if name != "Name":
                    pvs[f"X:MCA{one}ROI:{roi}:{name}"] = 0
    return pvs


def test_electronics_of_xspress(at, tmp_path):
    ioc = at(served(xspress(2)))
    device = xspress3.Xspress3("X", nmca=2, fileroot="/data")
    assert device.get_rois() == [[], []]
    file = tmp_path / "rois.dat"
    file.write_text("[rois]\nROI00 = Cu | 30 40 30 40\nROI01 = Fe | 10 20 10 20\n")
    device.restore_rois(str(file))
    assert [(roi.name, roi.left, roi.right) for roi in device.mcas[1].get_rois()] == [("Fe", 10, 20), ("Cu", 30, 40)]
    iron = device.mcas[1].rois[0]
    assert repr(iron) == "<ADMCAROI 'X:MCA2ROI:1:', name='Fe', range=[10:20]>"
    assert iron.get_counts() == sum(range(10, 21)) and iron.center == 15
    assert iron.get_counts(net=True) == sum(range(10, 21)) - 15.0 * 10
    device.mcas[0].add_roi("Co", 22, wid=3)
    assert [roi.name for roi in device.mcas[0].get_rois()] == ["Fe", "Co", "Cu"]
    device.mcas[0].del_roi("FE")
    assert [roi.name for roi in device.mcas[0].get_rois()] == ["Co", "Cu"] and ioc["X:MCA1ROI:3:Name"] == ""
    assert "ROI00 = Co | 22 25 22 25" in device.roi_calib_info()
    with pytest.raises(ValueError, match="49 regions. Too many ROIS, only 48 ROIS allowed"):
        device.mcas[0].set_rois([(f"r{n}", n, n + 1) for n in range(1, 50)])
    device.useExternalTrigger()
    device.TimeSeriesCaptureOn(npts=7)
    device.setFilePath("today")
    until(ioc, "X:HDF1:FilePath", "/data/today")
    until(ioc, "X:C2SCA:TSControl", 0)
    assert ioc["X:MCA1ROI:TSNumPoints"] == 7 and ioc["X:det1:TriggerMode"] == 3


def test_a_flat_panel(at, monkeypatch):
    monkeypatch.setattr(devices.ad_perkinelmer, "_SETTLE", 0.0)
    pvs = {f"PE:cam1:{name}": 0 for name in devices.AD_PerkinElmer.camattrs}
    pvs |= {"PE:cam1:AcquireTime": 0.01, "PE:cam1:ImageMode": 2, "PE:cam1:TriggerMode": 3}
    pvs |= {f"PE:netCDF1:{name}": 0 for name in devices.AD_PerkinElmer.pathattrs}
    ioc = at(served(pvs))

    @ioc["PE:cam1:PEAcquireOffset"].on_put
    def measure(put):
        ioc["PE:cam1:Model_RBV"] = 10 * ioc["PE:cam1:ImageMode"] + ioc["PE:cam1:TriggerMode"]
        return 0

    panel = devices.AD_PerkinElmer("PE:")
    panel.AcquireOffset()
    until(ioc, "PE:cam1:ShutterControl", 1)
    assert ioc["PE:cam1:Model_RBV"] == 0 and (ioc["PE:cam1:ImageMode"], ioc["PE:cam1:TriggerMode"]) == (2, 3)
    panel.SetMultiFrames(12, trigger="Soft")
    until(ioc, "PE:netCDF1:AutoIncrement", 1)
    assert (ioc["PE:cam1:TriggerMode"], ioc["PE:netCDF1:NumCapture"]) == (3, 12)
    panel.StartStreaming()
    panel.FinishStreaming()
    until(ioc, "PE:cam1:Acquire", 1)
