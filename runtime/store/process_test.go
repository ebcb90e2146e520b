package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"starbook/runtime/cas"
)

// A test that needs a second process runs this test binary again with childEnv set to
// one of these; the arguments of the work follow the name.
const childEnv = "STARBOOK_STORE_CHILD"

var children = map[string]func(dir string) error{
	"first":    firstOpen,
	"work":     workload,
	"askAlone": askAlone,
}

func TestMain(m *testing.M) {
	name, dir, ok := strings.Cut(os.Getenv(childEnv), " ")
	if !ok {
		os.Exit(m.Run())
	}
	if err := children[name](dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child prepares a process; its standard output is piped, its errors are kept.
func child(t *testing.T, name, dir string) (cmd *exec.Cmd, out io.Reader, errs *strings.Builder) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+name+" "+dir)
	errs = &strings.Builder{}
	cmd.Stderr = errs
	out, err := cmd.StdoutPipe()
	must(t, err)
	return cmd, out, errs
}

// firstOpen waits for the starting signal (the end of its input) and opens.
func firstOpen(dir string) error {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	if err := s.PutStep(Step{Key: key(fmt.Sprint(os.Getpid())), Name: "first"}); err != nil {
		return err
	}
	return s.Close()
}

func TestProcessesRaceToOpenFirst(t *testing.T) {
	const racers = 5
	dir := filepath.Join(t.TempDir(), "new", "store")
	start, gun, err := os.Pipe()
	must(t, err)
	var all []*exec.Cmd
	var errs []*strings.Builder
	for range racers {
		cmd, _, e := child(t, "first", dir)
		cmd.Stdin = start
		must(t, cmd.Start())
		all, errs = append(all, cmd), append(errs, e)
	}
	start.Close()
	gun.Close()
	for i, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Errorf("racer %d: %v: %s", i, err, errs[i])
		}
	}
	s := openAt(t, dir)
	rows, err := s.Query(t.Context(), "SELECT count(*) FROM step WHERE name = 'first'")
	must(t, err)
	if n := rows.Rows[0][0]; n != int64(racers) {
		t.Errorf("%v steps of %d racers", n, racers)
	}
	sound(t, s)
}

const workSteps = 30

// workload is a notebook: steps that are found or done, with curves, samples, a paid
// answer and a blob each. It prints a line for whatever it was told is durable.
func workload(dir string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	run := fmt.Sprintf("%08x", rand.Uint32())
	if err := s.BeginRun(Run{ID: run, Started: noon}); err != nil {
		return err
	}
	for i := range workSteps {
		if err := workStep(s, run, i); err != nil {
			return err
		}
	}
	if err := s.EndRun(run, Done, 0, ""); err != nil {
		return err
	}
	return s.Close()
}

func workStep(s *Store, run string, i int) error {
	name := fmt.Sprintf("step %d", i)
	k := key(name)
	_, unlock, err := s.LockStep(context.Background(), k)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.Step(k); err == nil {
		return s.PutUse(Use{Run: run, Seq: i + 1, Key: k, Name: name, Hit: true})
	}
	answer, err := pay(s, name)
	if err != nil {
		return err
	}
	if err := s.DropPoints(k, 0); err != nil {
		return err
	}
	for x := range int64(900) {
		s.Point(k, "loss", x, float64(x*int64(i)))
	}
	if err := s.PutSamples(k, []Sample{{Index: 0, Answer: name}, {Index: 1, Answer: name}}); err != nil {
		return err
	}
	out, err := s.Blobs.Put(answer)
	if err != nil {
		return err
	}
	if err := s.PutStep(Step{Key: k, Name: name, Kind: "value", Output: out, Refs: []cas.Digest{out}}); err != nil {
		return err
	}
	fmt.Println("step", k)
	return s.RemoveScratch(k)
}

// pay asks only what was never answered. Every other body is large enough for a blob.
func pay(s *Store, name string) ([]byte, error) {
	k := key("ask " + name)
	a, err := s.Answer(k, 0)
	if !errors.Is(err, ErrNotFound) {
		return a.Raw, err
	}
	attempt, err := s.BeginAsk(Ask{Key: k, Provider: "openai", Request: []byte("ask " + name)})
	if err != nil {
		return nil, err
	}
	body := []byte(strings.Repeat(name, 1+len(name)%2*largeBody/len(name)))
	if err := s.PutAnswers([]Answer{{Key: k, Attempt: attempt, Status: 200, Raw: body, CostUSD: 1}}); err != nil {
		return nil, err
	}
	fmt.Println("answer", k)
	return body, nil
}

// However often a process is killed, the file is whole, every row has its blobs, what
// was acknowledged is there, and running again ends in the same store as running once.
func TestKilledAtRandomMoments(t *testing.T) {
	kills := 9
	if testing.Short() {
		kills = 3
	}
	r := rand.New(rand.NewPCG(3, 4))
	dir := filepath.Join(t.TempDir(), "killed")
	acknowledged := map[string]bool{}
	for range kills {
		cmd, out, _ := child(t, "work", dir)
		must(t, cmd.Start())
		timer := time.AfterFunc(time.Duration(8+r.IntN(50))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			acknowledged[lines.Text()] = true
		}
		_ = cmd.Wait() // killed, or done before
		timer.Stop()
		checkKilled(t, dir, acknowledged)
	}
	t.Logf("%d things acknowledged by processes that were killed", len(acknowledged))
	whole := filepath.Join(t.TempDir(), "whole")
	for _, d := range []string{dir, whole} {
		cmd, _, errs := child(t, "work", d)
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, errs)
		}
	}
	got, want := contents(t, dir), contents(t, whole)
	if !slices.Equal(got, want) {
		t.Errorf("after the kills and a run to the end there are %d rows, else %d, or they differ", len(got), len(want))
	}
}

func checkKilled(t *testing.T, dir string, acknowledged map[string]bool) {
	t.Helper()
	s, err := Open(dir)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	sound(t, s)
	for line := range acknowledged {
		kind, digest, _ := strings.Cut(line, " ")
		k, err := cas.Parse(digest)
		must(t, err)
		if kind == "step" {
			_, err = s.Step(k)
		} else {
			_, err = s.Answer(k, 0)
		}
		if err != nil {
			t.Errorf("%s was acknowledged: %v", line, err)
		}
	}
	for _, r := range must1(s.Runs(0))(t) {
		if r.Status == Running {
			t.Errorf("run %s counts as running after its process was killed", r.ID)
		}
	}
}

func must1[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// Two processes that run the same notebook at once do and pay everything once.
func TestTwinsPayOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	var twins []*exec.Cmd
	var errs []*strings.Builder
	for range 2 {
		cmd, _, e := child(t, "work", dir)
		must(t, cmd.Start())
		twins, errs = append(twins, cmd), append(errs, e)
	}
	for i, cmd := range twins {
		if err := cmd.Wait(); err != nil {
			t.Errorf("twin %d: %v: %s", i, err, errs[i])
		}
	}
	s := openAt(t, dir)
	sound(t, s)
	for q, want := range map[string]string{
		"SELECT count(*), count(DISTINCT key) FROM ask":              fmt.Sprintf("[[%d %[1]d]]", workSteps),
		"SELECT count(*) FROM runs WHERE status = 'done'":            "[[2]]",
		"SELECT count(*) FROM step":                                  fmt.Sprintf("[[%d]]", workSteps),
		"SELECT DISTINCT n, last_x FROM metrics":                     "[[900 899]]",
		"SELECT count(*) FROM (SELECT DISTINCT step, x FROM points)": fmt.Sprintf("[[%d]]", 900*workSteps),
	} {
		rows, err := s.Query(t.Context(), q)
		must(t, err)
		if got := fmt.Sprint(rows.Rows); got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
}

// contents is what a store holds but for times, order, attempts and runs.
func contents(t *testing.T, dir string) []string {
	t.Helper()
	s, err := Open(dir)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	var list []string
	for _, q := range []string{
		"SELECT key, name, output, refs FROM step ORDER BY key",
		"SELECT step, metric, x, v FROM points ORDER BY step, metric, x",
		"SELECT step, name, n, last_x, last, min, min_x, max, max_x FROM series ORDER BY step, name",
		"SELECT step, idx, answer FROM sample ORDER BY step, idx",
		"SELECT DISTINCT key, body, body_blob FROM answer ORDER BY key",
	} {
		rows, err := s.Query(t.Context(), q)
		must(t, err)
		for _, r := range rows.Rows {
			list = append(list, fmt.Sprint(r))
		}
	}
	return list
}

// askAlone begins a request and waits to be killed.
func askAlone(dir string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	if _, err := s.BeginAsk(Ask{Key: key("theirs"), Provider: "openai", Model: "m", BaseURL: "https://host/v1"}); err != nil {
		return err
	}
	if _, _, err := s.LockStep(context.Background(), key("step")); err != nil {
		return err
	}
	fmt.Println("ready")
	select {} // the parent kills us
}

func TestInDoubtAndLocksOfTheKilled(t *testing.T) {
	s := open(t)
	_, err := s.BeginAsk(Ask{Key: key("ours")})
	must(t, err)
	cmd, out, _ := child(t, "askAlone", s.Dir())
	must(t, cmd.Start())
	if !bufio.NewScanner(out).Scan() {
		t.Fatal("the child said nothing")
	}
	if list, err := s.InDoubt(); err != nil || len(list) != 0 {
		t.Errorf("in doubt while both live: %v, %v", list, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, _, err := s.LockStep(ctx, key("step")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a step that another process holds: %v", err)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	want := []Ask{{Key: key("theirs"), Provider: "openai", Model: "m", BaseURL: "https://host/v1"}}
	list, err := s.InDoubt()
	must(t, err)
	if len(list) == 1 {
		want[0].Attempt = list[0].Attempt
	}
	if !reflect.DeepEqual(list, want) {
		t.Errorf("in doubt after the kill: %v", list)
	}
	must(t, s.Told(list))
	if list, err := s.InDoubt(); err != nil || len(list) != 0 {
		t.Errorf("still in doubt after somebody was told: %v, %v", list, err)
	}
	_, unlock, err := s.LockStep(t.Context(), key("step"))
	must(t, err)
	unlock()
}
