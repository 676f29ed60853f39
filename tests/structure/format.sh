#!/bin/sh
# Formatting by clang-format 14, the version that .clang-format is written for; 77 (skipped) where it is not installed.
# usage: format.sh ROOT
set -eu
cd "$1"
tool=
for name in clang-format-14 clang-format; do
	if command -v $name >/dev/null 2>&1 && $name --version | grep -q 'version 14\.'; then
		tool=$name
		break
	fi
done
[ -n "$tool" ] || { echo "clang-format 14 is not installed: skipped"; exit 77; }
find engine cpu cuda stages pipeline study tests bench \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) \
	! -name '*_data.c' -print | sort | xargs "$tool" --dry-run --Werror
