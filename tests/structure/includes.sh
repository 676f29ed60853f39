#!/bin/sh
# Reads every #include of the tree and fails on an arrow that docs/architecture.md does not have.
# usage: includes.sh ROOT
set -eu
cd "$1"
find engine cpu cuda stages pipeline study \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) -print | sort |
	xargs awk '
	BEGIN {
		# folder: the folders that it may include, itself apart
		allow["base"] = ""
		allow["config"] = "base"
		allow["graph"] = "base config"
		allow["text"] = "base"
		allow["data"] = "base config text"
		allow["input"] = "base config graph text data"
		allow["quant"] = "base config graph"
		allow["exec"] = "base config graph input quant"
		allow["task"] = "base config graph data input quant exec"
		allow["store"] = "base config graph data input quant exec task"
		allow["ranks"] = "base"
		allow["model"] = "base config graph data input quant exec task store"
		allow["exchange"] = "base config graph text data input quant exec task store"
		allow["train"] = "base config graph data input quant exec task store model ranks"
		allow["cpu"] = "base graph quant exec"
		allow["cuda"] = "base graph quant exec"
		allow["stages"] = "base config graph data input quant exec task store model train ranks"
		allow["pipeline"] = "base config graph text data input quant exec task store exchange model train stages ranks"
		allow["study"] = "base config graph data input quant exec task store model train pipeline"
	}
	function folder(path, part) {
		split(path, part, "/")
		return part[1] == "engine" ? part[2] : part[1]
	}
	function fail(why) {
		printf "%s:%d: %s: %s\n", FILENAME, FNR, why, $0
		bad = 1
	}
	/^[ \t]*#[ \t]*include[ \t]*"/ {
		split($0, q, "\"")
		from = folder(FILENAME)
		to = folder(q[2])
		if (index(q[2], "/") == 0) { fail("includes name their folder"); next }
		if (to == from) next
		# the program alone knows which backends are built in, in one file
		if (FILENAME == "pipeline/registry.c" && (to == "cpu" || to == "cuda")) next
		if (index(" " allow[from] " ", " " to " ") == 0) fail(from " may not include " to)
	}
	/^[ \t]*#[ \t]*include[ \t]*[<"](oneapi\/)?dnnl/ { if (FILENAME !~ /^cpu\//) fail("only cpu/ includes oneDNN") }
	/^[ \t]*#[ \t]*include[ \t]*[<"](cuda|cublas)/ { if (FILENAME !~ /^cuda\//) fail("only cuda/ includes CUDA") }
	/^[ \t]*#[ \t]*include[ \t]*[<"]mpi/ { if (FILENAME != "engine/ranks/mpi.c") fail("only engine/ranks/mpi.c includes MPI") }
	/(^|[^A-Za-z_])MPI_[A-Z][a-z]/ { if (FILENAME != "engine/ranks/mpi.c") fail("only engine/ranks/mpi.c calls MPI") }
	# one way to start other programs, with its limits; a cell is the program itself
	/[^a-z_]v?fork\(\)|popen\(|posix_spawn|[^a-z_]system\(/ {
		if (FILENAME != "pipeline/outside.c" && FILENAME != "study/sweep_cell.c")
			fail("other programs are started by pipeline/outside.c")
	}
	/HAVE_CUDA/ { if (FILENAME != "pipeline/registry.c") fail("HAVE_CUDA belongs in pipeline/registry.c") }
	END { exit bad }'
