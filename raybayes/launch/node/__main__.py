"""The node program, as cluster files and launchers call it: `python -m raybayes.launch.node`."""

import sys

from raybayes.launch.node.supervisor import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
