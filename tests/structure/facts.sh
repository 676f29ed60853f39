#!/bin/sh
# Facts that stand in one row are asked of the row: nobody outside engine/graph/op.c lists the ops that are products, and
# the positions of an op's inputs have their names in engine/graph/op.h alone.
# usage: facts.sh ROOT
set -eu
cd "$1"
bad=0
find engine cpu cuda stages pipeline study tests/ref \( -name '*.c' -o -name '*.h' \) ! -path engine/graph/op.c -print | sort |
	xargs grep -nE '[=!]= OP_(LINEAR|CONV2D|Q[A-Z0-9_]+)\b.*(\|\||&&).*[=!]= OP_(LINEAR|CONV2D|Q[A-Z0-9_]+)\b' && bad=1
find engine cpu cuda tests/ref \( -name '*.c' -o -name '*.h' \) ! -path engine/graph/op.h ! -name 'test_*' -print | sort |
	xargs grep -nE '^[[:space:]]*enum( [a-z_]+)? \{ *([A-Z0-9]+_)?X, *([A-Z0-9]+_)?(W|STEP|GAMMA)' && bad=1
exit $bad
