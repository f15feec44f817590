# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # formats, mutate
