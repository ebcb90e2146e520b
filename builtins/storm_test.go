package builtins

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"starbook/builtins/grade"
	"starbook/builtins/teacher/stub"
	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// The test binary is also the processes of the storm.
const (
	stubEnv  = "STARBOOK_TEST_STUB"  // latency, and "faults" or "spread" if any: be a stub
	stormEnv = "STARBOOK_TEST_STORM" // directory: run storm.star in it
)

func TestMain(m *testing.M) {
	grade.ChildMain()
	var err error
	switch {
	case os.Getenv(stubEnv) != "":
		words := strings.Fields(os.Getenv(stubEnv))
		var o stub.Options
		if o.Latency, err = time.ParseDuration(words[0]); err == nil {
			o.Spread = slices.Contains(words, "spread")
			if slices.Contains(words, "faults") {
				o.Faults = stub.Rates(1, stub.Chance{Name: "429 retry-after-ms", Rate: 0.05}, stub.Chance{Name: "500", Rate: 0.02},
					stub.Chance{Name: "reset", Rate: 0.01}, stub.Chance{Name: "half-open", Rate: 0.005})
			}
			err = stub.Main(o)
		}
	case os.Getenv(stormEnv) != "":
		err = stormRun(os.Getenv(stormEnv))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// stormRun is one life: it says when it begins to ask.
func stormRun(dir string) error {
	st, err := store.Open(filepath.Join(dir, ".starbook"))
	if err != nil {
		return err
	}
	nb, err := runtime.ReadNotebook(filepath.Join(dir, "storm.star"))
	if err != nil {
		return err
	}
	host := &Host{Dir: dir, Consent: agreed}
	r := &runtime.Run{Notebook: nb, Store: st, Sink: told{}}
	err = r.Exec(context.Background(), host.Predeclared())
	if cerr := st.Close(); err == nil {
		err = cerr
	}
	return err
}

// told prints a line once a teacher is asked.
type told struct{}

func (told) Emit(e event.Event) {
	if e.Kind == event.Log && strings.Contains(e.Text, "questions") {
		fmt.Println("asking")
	}
}

// elsewhere starts a stub in a process of its own and returns its URL.
func elsewhere(t testing.TB, what string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), stubEnv+"="+what)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// booksOf asks a stub what happened.
func booksOf(t testing.TB, url string) (l stub.Ledger) {
	t.Helper()
	res, err := http.Get(url + "/ledger")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func fromEnv(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

// A job that is killed at random moments, again and again, asks nothing twice
// whose reply had arrived, and ends in the dataset of a job that nobody disturbed.
//
//	STARBOOK_KILLS (5)  STARBOOK_ROWS (300)  STARBOOK_SEED (1)
func TestKillStorm(t *testing.T) {
	const inFlight = 50
	kills, rows := fromEnv("STARBOOK_KILLS", 5), fromEnv("STARBOOK_ROWS", 300)
	random := rand.New(rand.NewPCG(uint64(fromEnv("STARBOOK_SEED", 1)), 9))
	// Answers come so slowly, and at such different times, that the job lives for about as many lives as there are kills.
	url := elsewhere(t, fmt.Sprintf("%dms spread", max(20, 20*inFlight*kills/rows)))
	lab := func() string {
		dir := t.TempDir()
		var b strings.Builder
		for i := range rows {
			fmt.Fprintf(&b, "{\"id\":\"q%d\",\"prompt\":\"question %d\"}\n", i, i)
		}
		src := fmt.Sprintf("distill.generate(data.jsonl(\"rows.jsonl\"), teacher = %q, price = [1, 5], budget_usd = 10000, batch_size = %d, max_tokens = 2000, pilot = 0)\n", url+"/v1#m", inFlight)
		for name, text := range map[string]string{"rows.jsonl": b.String(), "storm.star": src} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	life := func(dir string, after time.Duration, whileAsking bool) (killed bool) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), stormEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if after > 0 {
			if whileAsking {
				bufio.NewScanner(out).Scan()
			}
			time.Sleep(after)
			_ = cmd.Process.Kill()
		}
		_, _ = io.Copy(io.Discard, out)
		err = cmd.Wait()
		if err != nil && after == 0 {
			t.Fatalf("the last run: %v", err)
		}
		return err != nil
	}
	dir, met := lab(), 0
	for i := range kills {
		after, asking := time.Duration(random.IntN(60)+1)*time.Millisecond, i%5 > 0
		if !asking {
			after *= 5 // anywhere, from the opening of the store
		}
		if life(dir, after, asking) {
			met++
		}
	}
	life(dir, 0, false)
	calm := lab()
	before := booksOf(t, url)
	life(calm, 0, false)

	st := openStore(t, filepath.Join(dir, ".starbook"))
	for query, want := range map[string]string{
		"SELECT count(DISTINCT key) FROM answer WHERE fault IS NULL":                                fmt.Sprint(rows),
		"SELECT count(*) FROM answer":                                                               fmt.Sprint(rows), // no question has two replies
		"SELECT count(*) FROM ask AS q JOIN answer AS a ON a.key = q.key AND q.attempt > a.attempt": "0",              // nothing was asked again whose reply had arrived
		"SELECT max(n) <= " + fmt.Sprint(inFlight) + " FROM (SELECT count(*) - count(a.attempt) AS n FROM ask AS q LEFT JOIN answer AS a USING (attempt) GROUP BY q.process)": "1", // in doubt
		"SELECT count(*) FROM ask AS q WHERE told IS NULL AND NOT EXISTS (SELECT 1 FROM answer AS a WHERE a.attempt = q.attempt)":                                             "0", // everybody was told, once
	} {
		if got := one(t, st, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	asks := one(t, st, "SELECT count(*) FROM ask")
	if n, _ := strconv.Atoi(asks); before.Asked > n {
		t.Errorf("the server saw %d requests, the journal has %s", before.Asked, asks)
	}
	output := "SELECT output FROM step WHERE name = 'distill.generate'"
	got, want := one(t, st, output), one(t, openStore(t, filepath.Join(calm, ".starbook")), output)
	if got != want {
		t.Errorf("the dataset is %s, undisturbed %s", got, want)
	}
	t.Logf("%d kills, %d met the run alive; %d questions, %d requests at the server, %s in doubt; dataset %.8s", kills, met, rows, before.Asked,
		one(t, st, "SELECT count(*) FROM ask WHERE told IS NOT NULL"), got)
}

func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// one returns the single value that a query gives.
func one(t testing.TB, st *store.Store, query string) string {
	t.Helper()
	rows, err := st.Query(context.Background(), query)
	if err != nil || len(rows.Rows) != 1 {
		t.Fatalf("%s: %v, %v", query, rows, err)
	}
	return fmt.Sprint(rows.Rows[0][0])
}
