"""layers.py SOURCES: each folder of src/ includes headers only of itself and of the layers before it, and only those
who may know MPI, HDF5, OpenBLAS and libyaml do (docs/architecture.md)."""

import pathlib
import re
import sys

LAYERS = ["base", "config", "nn", "data", "model", "sched", "timeline", "trace", "comm", "runtime", "app"]
# Public headers belong to the layer that implements them; a schedule is data that the cost models fill in.
PUBLIC = {"status": "base", "config": "config", "nn": "nn", "schedule": "model", "timeline": "timeline",
          "results": "trace"}  # fmt: skip
LIBRARIES = {"mpi.h": {"comm", "app"}, "hdf5.h": {"trace", "app"}, "cblas.h": {"nn"}, "yaml.h": {"config", "app"}}


def layer_of(header):
    parts = header.split("/")
    if parts[0] == "pipar":
        return PUBLIC.get(pathlib.Path(parts[1]).stem)
    return parts[0] if len(parts) > 1 and parts[0] in LAYERS else None


def main():
    source = pathlib.Path(sys.argv[1], "src")
    problems = []
    for path in sorted(source.glob("*/*.[ch]")):
        own = path.parent.name
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if not match:
                continue
            header, where = match[1], f"{path.relative_to(source.parent)}:{number}"
            other = layer_of(header)
            if other is not None and LAYERS.index(other) > LAYERS.index(own):
                problems.append(f"{where}: {own}/ includes {header} of {other}/, a layer after it")
            if own not in LIBRARIES.get(header, {own}):
                problems.append(f"{where}: {own}/ includes {header}; only {', '.join(sorted(LIBRARIES[header]))} may")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
