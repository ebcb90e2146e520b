#!/usr/bin/env bash
# What only a GPU can tell. Runs what build.sh built, on a machine that has a
# driver, CUDA's libraries and python3 with torch, and nothing else. Writes a
# table to RESULTS.md beside it.
#
#   check.sh [--fake] [SECTION...]
#
# Sections: doctor conform goldens sanitizer determinism resume big. Without one
# all are run. --fake uses the fake driver, to try this script without a GPU: the
# big model is small, and less is trained, for that driver computes on the CPU.
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
	(cd gpu/cuda && quietly ./test -test.run 'Conform|Padding|Replay|Staging|Room') || return 1
	note operations "agree with float64"
	(cd gpu/cuda && ./test -test.run '^$' -test.bench . -test.benchtime "$([ -n "$fake" ] && echo 1x || echo 1s)") | tee "$tmp/bench" || return 1
	while read -r name _ figure unit; do note "${name#Benchmark}" "$figure $unit"; done < <(grep ^Benchmark "$tmp/bench")
}

# goldens: models of every family, gradients and the Trainer's curves, by the
# yardstick of transformers in BF16.
goldens() {
	local updates=CUDA
	[ -z "$fake" ] || updates='(Late|Plan).*CUDA'
	(cd gpu/model && quietly ./test -test.run 'BF16|CUDA') || return 1
	(cd gpu/train && quietly ./test -test.run "$updates") || return 1
	note families "forward, gradients, generation and updates agree, and a merge writes the CPU's bytes"
	note memory "what was planned is what was taken, to the byte"
}

# sanitizer: no access out of bounds and no race in shared memory.
sanitizer() {
	command -v compute-sanitizer >/dev/null || { note compute-sanitizer "not installed"; return 0; }
	local tool
	for tool in memcheck racecheck; do
		(cd gpu/cuda && quietly compute-sanitizer --tool "$tool" --error-exitcode 1 ./test -test.run 'TestConform/(rmsnorm|rotary|cached|crossentropy|argmax|sample|merge|matmul_rows|adamw)') || return 1
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
# steps, as it is and with its base rounded to NF4. BIG=small makes it tiny. The
# rate is that of the updates that a longer training makes more than a short one.
big() {
	local dir=${BIG_DIR:-$tmp}/big size=${BIG:-7b} few=2 many=10 quantise
	[ -z "$fake" ] || size=small few=1 many=2
	"${PYTHON:-python3}" big.py "$dir" "$size" scripts/models/regex-base || return 1
	for quantise in '' nf4; do
		big_runs "$dir" "$size${quantise:+, base in $quantise}" "$quantise" || return 1
	done
}

# big_runs trains the model in $1, called $2, with its base rounded to $3.
big_runs() {
	local from watch steps ms=() tokens=()
	for steps in $few $many; do
		(while sleep 0.5; do nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits; done >"$tmp/used" 2>/dev/null) &
		watch=$!
		from=$(date +%s%3N)
		STARBOOK_STORE=$tmp/big$steps$3 quietly ./starbook run scripts/big.star -p "model=$1" -p "steps=$steps" -p "quantise=$3" --no-report </dev/null
		set -- "$1" "$2" "$3" $?
		ms+=($(($(date +%s%3N) - from)))
		kill $watch
		[ "$4" = 0 ] || return 1
		tokens+=("$(sed -n 's/.*tokens: *\([0-9]*\).*/\1/p' "$tmp/log")")
	done
	note "$2, planned" "$(grep -o '[0-9]* rows at a time.*' "$tmp/log" | head -n 1)"
	note "$2, memory at most" "$(sort -n "$tmp/used" | tail -n 1) MiB by the driver's count, of all processes"
	note "$2, trained" "$(((tokens[1] - tokens[0]) * 1000 / (ms[1] > ms[0] ? ms[1] - ms[0] : 1))) tokens/s ($((many - few)) updates, $((tokens[1] - tokens[0])) tokens)"
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
