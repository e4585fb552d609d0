import sys

from scaler.testing.localcloud.running import run

sys.exit(run(sys.argv[1:]))
