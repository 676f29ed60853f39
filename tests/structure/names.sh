#!/bin/sh
# What only images have, and what only one kind of task is judged by, is named where it belongs: outside the data sets, the
# inputs and the families, ops and kernels of images nobody names a height or pixels, and outside the tasks nobody names
# accuracy. Comments may, and rows that say what an option was called before.
# usage: names.sh ROOT
set -eu
cd "$1"
find engine stages pipeline \( -name '*.c' -o -name '*.h' \) -print | sort | xargs awk '
	BEGIN {
		# files that may name pixels: those of images, specs and their files, checkpoints of older programs
		n = split("engine/data/* engine/input/*" \
			" engine/graph/spec.h engine/graph/spec.c engine/graph/spec_json.c" \
			" engine/graph/builder.c engine/graph/cnn.c engine/graph/resnet.c" \
			" engine/store/checkpoint_parts.c", pixel_file, " ")
		m = split("engine/task/*", accuracy_file, " ")
	}
	function among(list, count, i, prefix) {
		for (i = 1; i <= count; i++) {
			prefix = list[i]
			if (sub(/\*$/, "", prefix) ? index(FILENAME, prefix) == 1 : FILENAME == prefix)
				return 1
		}
		return 0
	}
	FNR == 1 { comment = 0 }
	{
		line = $0
		# comments go: those that end here, those that go on, those that were begun
		if (comment) {
			if (!match(line, /\*\//)) next
			line = substr(line, RSTART + 2)
			comment = 0
		}
		while (match(line, /\/\*/)) {
			rest = substr(line, RSTART + 2)
			line = substr(line, 1, RSTART - 1)
			if (match(rest, /\*\//))
				line = line substr(rest, RSTART + 2)
			else
				comment = 1
		}
		sub(/\/\/.*/, "", line)
		if (line ~ /\.former/) next
		if (line ~ /(^|[^A-Za-z0-9])(height|pixels?)([^A-Za-z0-9]|$)|_height|pixel_|_pixel/ && !among(pixel_file, n)) {
			printf "%s:%d: pixels: %s\n", FILENAME, FNR, $0
			bad = 1
		}
		if (tolower(line) ~ /accuracy/ && !among(accuracy_file, m)) {
			printf "%s:%d: accuracy: %s\n", FILENAME, FNR, $0
			bad = 1
		}
	}
	END { exit bad }'
