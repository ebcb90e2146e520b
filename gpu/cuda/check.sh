#!/usr/bin/env bash
# What only a GPU can tell. Runs what build.sh built, on a machine that has a
# driver, CUDA's libraries and python3 with torch, and nothing else. Writes a
# table to RESULTS.md beside it.
#
#   check.sh [--fake] [SECTION...]
#
# Sections: doctor conform goldens sanitizer determinism resume big. Without one
# all are run. --fake uses the fake driver, to try this script without a GPU.
set -uo pipefail
cd "$(dirname "$0")"
here=$PWD tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$here/cache} STARBOOK_DEVICE=cuda NO_COLOR=1 STARBOOK_TEST_GPU=1
mkdir -p "$XDG_CACHE_HOME"
[ -x starbook ] || { gunzip -c starbook.gz >starbook && chmod +x starbook; }

fake=
if [ "${1:-}" = --fake ]; then
	shift
	fake=yes
	export STARBOOK_LIBCUDA=$here/sim/libcuda.so.1 STARBOOK_CUDA_LIB=$here/sim
fi

note() { printf '| %s | %s | %s |\n' "$section" "$1" "$2" >>"$tmp/rows"; }

# quietly runs a command and shows its output only if it fails.
quietly() {
	if "$@" >"$tmp/log" 2>&1; then return 0; fi
	tail -n 40 "$tmp/log"
	return 1
}

# digests prints what training and merging in a store made.
digests() {
	STARBOOK_STORE=$1 ./starbook sql --csv "SELECT name, output FROM step WHERE name IN ('lora.train', 'lora.merge') ORDER BY 1, 2"
}

# doctor: what is found where, that nothing of CUDA is linked, and that the
# libraries of pip's wheels do as well.
doctor() {
	./starbook doctor || return 1
	LD_BIND_NOW=1 ./starbook doctor >/dev/null || return 1
	if command -v readelf >/dev/null && readelf -d starbook | grep NEEDED | grep -E 'cuda|cublas|nvrtc'; then return 1; fi
	note device "$(./starbook doctor | sed -n 's/^cuda:0 *//p')"
	note cuBLASLt "$(./starbook doctor | sed -n 's/^cublasLt *//p')"
	note NVRTC "$(./starbook doctor | sed -n 's/^nvrtc *//p')"
	local wheels
	wheels=$(python3 -c 'import nvidia, glob; print(":".join(sorted({p.rsplit("/", 1)[0] for d in nvidia.__path__ for p in glob.glob(d + "/*/lib/libcublasLt.so.*") + glob.glob(d + "/*/lib/libnvrtc.so.*")})))' 2>/dev/null)
	if [ -z "$fake" ] && [ -n "$wheels" ]; then
		STARBOOK_CUDA_LIB=$wheels ./starbook doctor | grep -E '^(cublasLt|nvrtc)' || return 1
		note "pip's wheels" found
	fi
}

# conform: every operation against float64, in BF16 and in F32, and the rate of launches.
conform() {
	(cd gpu/cuda && quietly ./test -test.run 'Conform|Padding') || return 1
	note operations "agree with float64"
	(cd gpu/cuda && ./test -test.run '^$' -test.bench . -test.benchtime 1s) | tee "$tmp/bench" || return 1
	while read -r name _ figure unit; do note "${name#Benchmark}" "$figure $unit"; done < <(grep ^Benchmark "$tmp/bench")
}

# goldens: models of every family, gradients and the Trainer's curves, by the
# yardstick of transformers in BF16.
goldens() {
	(cd gpu/model && quietly ./test -test.run BF16) || return 1
	(cd gpu/train && quietly ./test -test.run CUDA) || return 1
	note families "forward, gradients, generation and 50 updates agree"
}

# sanitizer: no access out of bounds and no race in shared memory.
sanitizer() {
	command -v compute-sanitizer >/dev/null || { note compute-sanitizer "not installed"; return 0; }
	local tool
	for tool in memcheck racecheck; do
		(cd gpu/cuda && quietly compute-sanitizer --tool "$tool" --error-exitcode 1 ./test -test.run 'TestConform/(rmsnorm|rotary|cached|crossentropy|argmax|matmul_rows|adamw)') || return 1
		note "$tool" "no errors"
	done
}

# determinism: three runs make the same adapter and the same merged model.
determinism() {
	local i
	for i in 1 2 3; do
		STARBOOK_STORE=$tmp/same$i quietly ./starbook run scripts/smoke.star --no-report </dev/null || return 1
		digests "$tmp/same$i" >"$tmp/digests$i"
	done
	cat "$tmp/digests1"
	[ -s "$tmp/digests1" ] && cmp "$tmp/digests1" "$tmp/digests2" && cmp "$tmp/digests1" "$tmp/digests3" || return 1
	note "three runs" "$(sed -n 's/^lora.train,//p' "$tmp/digests1" | cut -c1-16)"
}

# resume: a training that was killed ends as one that nobody disturbed.
resume() {
	local args=(run scripts/smoke.star -p steps=24 --no-report) kills=0 pid
	STARBOOK_STORE=$tmp/calm quietly ./starbook "${args[@]}" </dev/null || return 1
	while [ $kills -lt 3 ]; do
		STARBOOK_STORE=$tmp/storm ./starbook "${args[@]}" </dev/null >/dev/null 2>&1 &
		pid=$!
		sleep "$((kills + 1)).$((RANDOM % 10))"
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
		kills=$((kills + 1))
	done
	STARBOOK_STORE=$tmp/storm quietly ./starbook "${args[@]}" </dev/null || return 1
	digests "$tmp/calm" >"$tmp/a"
	digests "$tmp/storm" >"$tmp/b"
	[ -s "$tmp/a" ] && cmp "$tmp/a" "$tmp/b" || return 1
	note "killed $kills times" "the same bytes"
}

# big: a model of the shape of Qwen2.5-7B with random weights, trained for some
# steps. BIG=small makes it tiny.
big() {
	local dir=${BIG_DIR:-$tmp}/big size=${BIG:-7b} line
	[ -z "$fake" ] || size=small
	python3 big.py "$dir" "$size" scripts/models/regex-base || return 1
	(
		while sleep 0.5; do nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null; done >"$tmp/used"
	) &
	local watch=$!
	STARBOOK_STORE=$tmp/bigstore ./starbook run scripts/big.star -p "model=$dir" --no-report </dev/null | tee "$tmp/said" || { kill $watch; return 1; }
	kill $watch
	line=$(grep -o "rate: .*" "$tmp/said")
	note "$size, trained" "${line:-ran}"
	note "memory at most" "$(sort -n "$tmp/used" | tail -n 1) MiB, of the driver's count"
}

all="doctor conform goldens sanitizer determinism resume big"
[ $# -gt 0 ] || set -- $all
failed=
for section in "$@"; do
	case " $all " in *" $section "*) ;; *) echo "check.sh: no section $section: there are $all" >&2 && exit 2 ;; esac
	printf '\n== %s\n' "$section"
	from=$SECONDS
	if "$section"; then note "**passed**" "$((SECONDS - from)) s"; else
		note "**FAILED**" "$((SECONDS - from)) s"
		failed="$failed $section"
	fi
done
{
	printf '# What a GPU said\n\ncommit %s, %s%s\n\n| section | what | result |\n|---|---|---|\n' \
		"$(cat commit)" "$(date -u +%F)" "${fake:+, against the fake driver: this says nothing of a GPU}"
	cat "$tmp/rows"
} >"${OUT:-$here}/RESULTS.md"
cat "${OUT:-$here}/RESULTS.md"
[ -z "$failed" ] || { echo "check.sh: failed:$failed" >&2 && exit 1; }
