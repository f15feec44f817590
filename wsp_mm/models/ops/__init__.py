# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
