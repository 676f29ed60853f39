#!/bin/sh
# One dialect: nobody compares with NULL where "!p" says it. ("p != NULL" may be a number, or the end of an assignment.)
# usage: dialect.sh ROOT
set -eu
cd "$1"
if find engine cpu cuda stages pipeline study tests bench \
	\( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) -print | sort | xargs grep -nE '== NULL' /dev/null | grep .; then
	exit 1
fi
