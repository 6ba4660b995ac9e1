"""A script of a shift, as it is written for PyCafe: devices and groups from files, a snapshot, an orbit bump and its end."""

import sys
from pathlib import Path

import PyCafe

directory = Path(sys.argv[1])
cafe = PyCafe.CyCafe()
cyca = PyCafe.CyCa()
cafe.init()
cafe.setOpenDefaultPendTime(10.0)

(directory / "devices.xml").write_text(
    """<?xml version="1.0"?>
<cafe:config xmlns:cafe="https://cafe.web.psi.ch">
  <cafe:collection id="cCorrectors">
    <cafe:description>horizontal correctors</cafe:description>
    <cafe:attributes><cafe:attribute>SET</cafe:attribute><cafe:attribute>READ</cafe:attribute></cafe:attributes>
    <cafe:member pos="4.5"><cafe:device>CH2</cafe:device></cafe:member>
    <cafe:member pos="1.5"><cafe:device>CH1</cafe:device></cafe:member>
    <cafe:member pos="7.5"><cafe:device>CH3</cafe:device></cafe:member>
  </cafe:collection>
</cafe:config>
"""
)
(directory / "groups.xml").write_text(
    """<config>
  <group id="gSet"><collection><id>cCorrectors</id><attribute>SET</attribute></collection></group>
  <group id="gAll">
    <collection><id>cCorrectors</id></collection>
    <member><name>ORBIT:RMS</name></member>
  </group>
</config>
"""
)
print(cafe.loadCollectionsFromXML(directory / "devices.xml"), cafe.loadGroupsFromXML(directory / "groups.xml"))
print(cafe.collectionList(), list(cafe.devicePositionMap("cCorrectors").values()), sorted(cafe.groupList()))
cafe.openGroupPrepare()
gset, gall = cafe.groupOpen("gSet"), cafe.groupOpen("gAll")
print(cafe.openGroupNowAndWait(10.0), cafe.groupMemberList("gAll"))
print(cafe.getGroup(gset), cafe.getChannelDevice("CH1:SET"), cafe.getChannelAttribute("CH1:SET"))

saved = cafe.snapshot2XML("gSet", directory / "before.xml")

cafe.policies.request.wait = True
monitors = cafe.groupMonitorStart(gall)
print(len(monitors))
handles = cafe.getHandlesFromWithinGroup(gset)
print(cafe.setScalarList(handles, [0.5, -1.0, 0.5]))
print(cafe.matchMany([0.5, -1.0, 0.5], ["CH2:READ", "CH1:READ", "CH3:READ"], 0.01, 10.0) == cyca.ICAFE_NORMAL)
print(cafe.getGroup(gall)[0][:6], cafe.getGroupCache(gall)[0][:3])
print(cafe.setAndMatch("CH1:SET", 2.0, "CH1:READ", 0.01, 10.0) == cyca.ICAFE_NORMAL)
print(cafe.setScalarList(handles, [1.0, "a text", 1.0])[0] == cyca.ICAFE_NORMAL, cafe.get("CH2:SET"), cafe.get("CH3:SET"))

print(cafe.restoreFromXML(saved), cafe.getGroup(gset)[0])
(directory / "groups.xml").write_text("<config><group id='g'><collection><id>cCorrector</id></collection></group></config>")
print(cafe.loadGroupsFromXML(directory / "groups.xml") == cyca.ECAFE_LOAD_GROUP)
print("\n".join(line for line in cafe.lastError.error_info.splitlines() if line.startswith(("error", "  = help", " = help"))))
cafe.withExceptions(True)
cafe.setOpenDefaultPendTime(0.1)
cafe.policies.timeout.seconds = 0.1
try:
    cafe.get("CH9:SET")
except PyCafe.CafeException as error:
    print(error.name, error.error_code == cyca.ICAFE_CS_NEVER_CONN)
cafe.monitorStopAll()
cafe.groupCloseAll()
print(cafe.getHandles() != [], cafe.terminate())
