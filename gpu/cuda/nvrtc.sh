#!/bin/sh
# Unpacks NVRTC from two Debian packages below the folder FOLDER, for compiling
# kernels where there is no CUDA. Nothing is installed. Prints the folder of the
# libraries. Exit code 3: the mirror does not have them.
#   nvrtc.sh FOLDER [SUITE PACKAGE...]
set -eu
dir=$(mkdir -p "$1" && cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- bookworm libnvrtc11.2 libnvrtc-builtins11.8
suite=$1
shift
dir=$dir/$suite
libs=$dir/unpacked/usr/lib/x86_64-linux-gnu
if [ ! -e "$dir/done" ]; then
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/deb" "$dir/unpacked"
	: >"$dir/status"
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | grep -m 1 debian) || exit 3
	# NVRTC is in the component non-free, whose short list alone is read.
	echo "deb $mirror $suite non-free" >"$dir/sources.list"
	cat >"$dir/apt.conf" <<-CONF
		Dir::Etc::SourceList "$dir/sources.list";
		Dir::Etc::SourceParts "-";
		Dir::State::Lists "$dir/lists";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir/cache";
		APT::Sandbox::User "root";
	CONF
	export APT_CONFIG="$dir/apt.conf"
	apt-get -qq update >&2 || exit 3
	(cd "$dir/deb" && apt-get -qq download "$@") >&2 || exit 3
	for deb in "$dir"/deb/*.deb; do dpkg-deb -x "$deb" "$dir/unpacked"; done
	touch "$dir/done"
fi
echo "$libs"
