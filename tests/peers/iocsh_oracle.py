"""What the shell of EPICS Base prints: lines for it in, what each prints out.

In:  the name of a file of records, as hex, and behind a NUL that of a file of access security; then a line for each command, as hex.
Out: for each line what went to the output, as hex, `-` for nothing; of the first line nothing.
"""

import binascii
import ctypes
import os
import re
import sys
import tempfile

# Nobody is to find it, and it is to find nobody.
os.environ["EPICS_CAS_INTF_ADDR_LIST"] = "127.0.0.1"
os.environ["EPICS_CA_ADDR_LIST"] = "127.0.0.1:9"
os.environ["EPICS_CA_AUTO_ADDR_LIST"] = "NO"
os.environ["EPICS_IOC_IGNORE_SERVERS"] = "rsrv qsrv"

from epicscorelibs import ioc  # noqa: E402

C = ctypes.CDLL(None)
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


def captured(output, work):
    """What is printed meanwhile."""
    C.fflush(None)
    output.seek(0)
    output.truncate()
    kept = os.dup(1)
    os.dup2(output.fileno(), 1)
    try:
        work()
        C.fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    output.seek(0)
    return COLOUR.sub(b"", output.read())


def main():
    lines = [binascii.unhexlify(line.strip().replace("-", "")) for line in sys.stdin]
    with tempfile.TemporaryFile(buffering=0) as output:
        answers = [b""]
        db, _, acf = lines[0].partition(b"\0")
        if acf:
            ioc.dbCore.asSetFilename(acf)
        captured(output, lambda: ioc.start_ioc(dbs=[(db.decode(), "")]))
        for line in lines[1:]:
            answers.append(captured(output, lambda: ioc.iocshCmd(line)))
    for answer in answers:
        print(binascii.hexlify(answer).decode() or "-")
    sys.stdout.flush()
    # Its threads do not end by themselves.
    os._exit(0)


main()
