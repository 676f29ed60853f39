#!/bin/sh
# Size rules: files of at most 800 lines, functions of at most 80 (the aim is 500 and 60). Generated data is exempt.
# usage: sizes.sh ROOT
set -eu
cd "$1"
find engine cpu cuda stages pipeline study tests bench \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) \
	! -name '*_data.c' -print | sort | xargs awk '
	FNR == 1 { open_line = 0 }
	FNR == 801 { printf "%s: more than 800 lines\n", FILENAME; bad = 1 }
	/^{/ { open_line = FNR }
	/^}/ {
		if (open_line && FNR - open_line > 80) {
			printf "%s:%d: a function of %d lines (at most 80)\n", FILENAME, open_line, FNR - open_line
			bad = 1
		}
		open_line = 0
	}
	END { exit bad }'
