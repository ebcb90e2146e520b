#!/bin/sh
# Builds what a bare GPU machine needs to run check.sh and speed.sh, into the folder build/gpu:
# starbook and test binaries with CUDA, the golden files that they read, and the
# fake driver, so that check.sh can be tried without a GPU.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/build/gpu
export CGO_CFLAGS="-O2 -g -I$PWD/gpu/cuda/internal/driver/include"
rm -rf "$out"
mkdir -p "$out"
go build -tags cuda -ldflags '-s -w' -o "$out/starbook" .
# A test binary finds its golden files in testdata, beside the folder it is run in.
for pkg in gpu/cuda gpu/model gpu/train; do
	mkdir -p "$out/$pkg"
	go test -c -tags cuda -ldflags '-s -w' -o "$out/$pkg/test" "./$pkg"
	if [ -d "$pkg/testdata" ]; then cp -r "$pkg/testdata" "$out/$pkg/"; fi
done
mkdir -p "$out/sim"
cp "$(go run ./gpu/cuda/internal/sim/build)/libcuda.so.1" "$out/sim/"
ln -s libcuda.so.1 "$out/sim/libcublasLt.so.12"
ln -s libcuda.so.1 "$out/sim/libnvrtc.so.12"
cp gpu/cuda/check.sh gpu/cuda/big.py gpu/cuda/speed.sh gpu/cuda/peer.py "$out/"
mkdir -p "$out/scripts/models" "$out/scripts/data/nl-rx"
cp scripts/smoke.star scripts/big.star "$out/scripts/"
cp -r scripts/models/regex-base "$out/scripts/models/"
cp scripts/data/nl-rx/answers.jsonl "$out/scripts/data/nl-rx/"
git rev-parse --short HEAD >"$out/commit"
if readelf -d "$out/starbook" | grep NEEDED | grep -q cuda; then
	echo "build.sh: starbook is linked to libcuda, and would not start without a driver" >&2
	exit 1
fi
gzip "$out/starbook"
du -sh "$out"
