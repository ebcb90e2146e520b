#!/usr/bin/env bash
# How fast the CUDA device is beside transformers and PEFT on the same GPU, in one
# run: ours, theirs, ours, ... Runs what build.sh built, on a machine with a driver,
# CUDA's libraries and python3 with torch, transformers and peft. Writes SPEED.md, and
# the reports that it is made of, to $OUT or beside it.
#
#   speed.sh [--fake] [PART...]
#
# Parts, none of which takes more than $SECONDS_EACH (450):
#   quick                  train:qwen2.5-7b and decode:qwen2.5-7b:256, in 6 minutes together
#   train:SHAPE[:ragged]   updates of 8 examples of 1,024 tokens, or up to 1,024
#   decode:SHAPE:BATCH     completions of 256 tokens, 256 at most if BATCH ends in r (ragged)
#   kernels:SHAPE          every operation; no peer
#   job:SHAPE              14,662 examples of 600 tokens on average, 3 epochs, extrapolated; no peer
# Without one it is quick. ROUNDS (1) times theirs is run between ours. --fake uses the
# fake driver, and the peer the CPU, both with a tiny shape: to try this script without a GPU.
set -uo pipefail
cd "$(dirname "$0")"
here=$PWD tmp=$(mktemp -d) python=${PYTHON:-python3}
trap 'rm -rf "$tmp"' EXIT
export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$here/cache} STARBOOK_DEVICE=cuda HF_HUB_OFFLINE=1
mkdir -p "$XDG_CACHE_HOME"
[ -x starbook ] || { gunzip -c starbook.gz >starbook && chmod +x starbook; }

fake=
if [ "${1:-}" = --fake ]; then
	shift
	fake=yes
	export STARBOOK_LIBCUDA=$here/sim/libcuda.so.1 STARBOOK_CUDA_LIB=$here/sim OMP_NUM_THREADS=1
fi
out=${OUT:-$here}
mkdir -p "$out/speed"

# ours NAME VERB FLAGS... writes the report NAME.json.
ours() {
	local name=$1
	shift
	echo "starbook bench $*"
	timeout "$left" ./starbook bench "$@" ${fake:+--gemm 32 --copy 1} --json >"$out/speed/$name.json"
}

# theirs NAME LIKE VERB VARIANTS writes NAME.json, of the same as LIKE.json.
theirs() {
	echo "peer.py $3, $4"
	timeout "$left" "$python" peer.py "$3" "$out/speed/$2.json" --variants "$4" --seconds $((left * 2 / 3)) ${fake:+--device cpu} >"$out/speed/$1.json"
}

# beside NAME VERB VARIANTS FLAGS... runs ours and theirs in turn and tabulates them.
beside() {
	local name=$1 verb=$2 variants=$3 i files
	shift 3
	ours "$name-ours-0" "$verb" "$@" || return 1
	files=("$out/speed/$name-ours-0.json")
	for i in $(seq "${ROUNDS:-1}"); do
		spent || break
		theirs "$name-theirs-$i" "$name-ours-0" "$verb" "$variants" # stopped too late, it has written what it measured
		[ ! -s "$out/speed/$name-theirs-$i.json" ] || files+=("$out/speed/$name-theirs-$i.json")
		spent || break
		ours "$name-ours-$i" "$verb" "$@" || return 1
		files+=("$out/speed/$name-ours-$i.json")
	done
	"$python" peer.py table "${files[@]}" >>"$tmp/tables"
}

# alone NAME VERB FLAGS... is beside without a peer.
alone() {
	local name=$1
	shift
	ours "$name" "$@" && "$python" peer.py table "$out/speed/$name.json" >>"$tmp/tables"
}

# spent updates the seconds that are left of a part, and fails if they are few.
spent() {
	left=$((until - SECONDS))
	[ "$left" -gt 20 ]
}

# part does one part within so many seconds: part NAME SECONDS.
part() {
	local verb shape rest name=${1//:/-} flags=()
	IFS=: read -r verb shape rest <<<"$1"
	until=$((SECONDS + $2))
	spent
	[ -z "$fake" ] || shape=tiny
	case $verb in
	train)
		flags=(--shape "$shape" --tokens 1024 --batch 8 --steps "${STEPS:-12}" --warmup 4)
		[ -z "$fake" ] || flags=(--shape tiny --tokens 24 --batch 2 --steps 2 --warmup 1 --rank 4)
		[ "$rest" != ragged ] || flags+=(--ragged)
		beside "$name" train "${VARIANTS:-padded,packed,padded-compile,padded-bf16,packed-compile,packed-bf16}" "${flags[@]}" ;;
	decode)
		flags=(--shape "$shape" --batch "${rest%r}" --prompt 256 --new 256 --steps "${STEPS:-3}")
		[ -z "$fake" ] || flags=(--shape tiny --batch 4 --prompt 8 --new 6 --steps 1)
		[ "$rest" = "${rest%r}" ] || flags+=(--ragged)
		beside "$name" decode dynamic,static "${flags[@]}" ;;
	kernels)
		flags=(--shape "$shape")
		[ -z "$fake" ] || flags=(--shape tiny --tokens 16 --batch 2 --slots 4 --n 2 --rank 4)
		alone "$name" kernels "${flags[@]}" ;;
	job) # lengths of 200 to 1,000
		flags=(--shape "$shape" --tokens 1000 --ragged --batch 8 --steps "${STEPS:-200}" --warmup 8 --job 14662)
		[ -z "$fake" ] || flags=(--shape tiny --tokens 24 --ragged --batch 2 --steps 3 --warmup 1 --rank 4 --job 14662)
		alone "$name" train "${flags[@]}" ;;
	*) echo "speed.sh: no part $1: the head of this file says which there are" >&2 && exit 2 ;;
	esac
}

[ $# -gt 0 ] || set -- quick
failed=
for p in "$@"; do
	from=$SECONDS
	printf '\n== %s\n' "$p"
	if [ "$p" = quick ]; then
		STEPS=8 VARIANTS=padded,packed,padded-bf16,padded-compile part train:qwen2.5-7b 220 || failed="$failed train"
		STEPS=2 part decode:qwen2.5-7b:256 140 || failed="$failed decode"
	else
		part "$p" "${SECONDS_EACH:-450}" || failed="$failed $p"
	fi
	echo "$p: $((SECONDS - from)) s"
done
{
	printf '# How fast, beside transformers and PEFT\n\ncommit %s, %s%s\n' \
		"$(cat commit)" "$(date -u +%F)" "${fake:+, against the fake driver: this says nothing of a GPU}"
	nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.max.sm --format=csv,noheader 2>/dev/null
	cat "$tmp/tables"
} >"$out/SPEED.md"
cat "$out/SPEED.md"
[ -z "$failed" ] || { echo "speed.sh: failed:$failed" >&2 && exit 1; }
