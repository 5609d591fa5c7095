# Runs a command and writes what it took as JSON to file descriptor 3.
import json
import os
import sys
import time

os.set_inheritable(3, False)
started = time.monotonic()
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
seconds = time.monotonic() - started
report = {
    "status": os.waitstatus_to_exitcode(status),
    "seconds": seconds,
    "cpuSeconds": usage.ru_utime + usage.ru_stime,
    "peakBytes": usage.ru_maxrss * 1024,
}
os.write(3, json.dumps(report).encode())
