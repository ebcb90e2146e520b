package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestQueryRefuses(t *testing.T) {
	s := open(t)
	must(t, s.BeginRun(Run{ID: "aa"}))
	elsewhere := filepath.Join(t.TempDir(), "other.db")
	for _, q := range []string{
		"DELETE FROM run", "UPDATE run SET id = 'x'", "INSERT INTO run DEFAULT VALUES", "DROP TABLE run", "CREATE TABLE t (a)", "CREATE TEMP TABLE t (a)",
		"SELECT 1; DELETE FROM run",
		"WITH x AS (SELECT 1) DELETE FROM run",
		"ATTACH '" + elsewhere + "' AS other", "VACUUM INTO '" + elsewhere + "'", "VACUUM",
		"PRAGMA query_only = OFF", "PRAGMA journal_mode = DELETE", "PRAGMA user_version = 9", "PRAGMA writable_schema = 1", "PRAGMA wal_checkpoint",
		"SELECT load_extension('/tmp/x.so')", "SELECT LOAD_EXTENSION('/tmp/x.so')",
		"BEGIN", "SAVEPOINT a", "REINDEX", "ANALYZE", "DETACH main",
		"not SQL at all", "",
	} {
		if rows, err := s.Query(t.Context(), q); err == nil && len(rows.Rows) > 0 || err == nil && q != "" {
			t.Errorf("%q was allowed: %v", q, rows)
		}
	}
	if _, err := os.Stat(elsewhere); !errors.Is(err, os.ErrNotExist) {
		t.Error("a query made a file")
	}
	if r, err := s.Run("aa"); err != nil || r.Status != Running {
		t.Errorf("after all that: %+v, %v", r, err)
	}
}

func TestQueryAnswers(t *testing.T) {
	s := open(t)
	for q, want := range map[string]string{
		"SELECT 1 AS a, 2.5 AS b, 'x' AS c, NULL AS d, x'ff' AS e": "[[1 2.5 x <nil> [255]]]",
		"SELECT name FROM pragma_table_info('run') LIMIT 1":        "[[seq]]",
		"PRAGMA user_version":                     fmt.Sprintf("[[%d]]", version()),
		"SELECT 'step 12' REGEXP '^step [0-9]+$'": "[[1]]",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT sum(i) FROM n": "[[10]]",
		"SELECT 9 AS none WHERE 0": "[]",
	} {
		rows, err := s.Query(t.Context(), q)
		if err != nil || fmt.Sprint(rows.Rows) != want {
			t.Errorf("%s: %v, %v; want %s", q, rows.Rows, err, want)
		}
	}
	rows, err := s.Query(t.Context(), "SELECT ? + ? AS total", 2, 3)
	if err != nil || rows.Columns[0] != "total" || rows.Rows[0][0] != int64(5) {
		t.Errorf("with arguments: %+v, %v", rows, err)
	}
}

func TestQueryEndsWithContext(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Query(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n")
	if err == nil {
		t.Fatal("an endless query ended")
	}
	if _, err := s.Query(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("the next query: %v", err)
	}
}

// The views say the same as the methods.
func TestViews(t *testing.T) {
	s := open(t)
	must(t, s.BeginRun(Run{ID: "aa", Notebook: "nb.star", Started: noon, Params: json.RawMessage(`{"lr": {"value": 0.5, "doc": "d"}}`)}))
	m := model{}
	for x := range int64(2500) {
		v := float64(x) / 3
		switch x {
		case 5:
			v = math.NaN()
		case 6:
			v = math.Inf(-1)
		}
		m[x] = v
		s.Point(key("s"), "loss", x, v)
	}
	must(t, s.PutSamples(key("s"), []Sample{{Index: 0, Outcome: "pass"}, {Index: 1, Outcome: "truncated"}, {Index: 2, Outcome: "unscored"}, {Index: 3, Outcome: "pass"}}))
	must(t, s.PutStep(Step{Key: key("s"), Name: "eval.run", CostUSD: 2, Seconds: 60, Summary: json.RawMessage(`{"score": 0.75}`)}))
	must(t, s.PutUse(Use{Run: "aa", Seq: 1, Key: key("s"), Name: "eval.run"}))
	must(t, s.PutUse(Use{Run: "aa", Seq: 2, Key: key("s"), Name: "eval.run", Hit: true}))
	m[6] = 1
	s.Point(key("s"), "loss", 6, 1) // replaces a sealed one
	for q, want := range map[string]string{
		"SELECT id, status, params, steps, hits, best_score, cost_usd, started_utc FROM runs": `[[aa unfinished {"lr":0.5} 2 1 0.75 2 2026-11-24 12:00:00]]`,
		"SELECT seq, state, cost_usd, saved_seconds, saved_usd FROM steps_of_run":             "[[1 done 2 0 0] [2 hit 0 60 2]]",
		"SELECT step_name, metric, n, last_x, min, min_x FROM metrics":                        "[[eval.run loss 2500 2499 0 0]]",
		"SELECT run, metric, count(*) FROM metrics_of_run GROUP BY 1, 2":                      "[[aa loss 2]]",
		"SELECT n, passed, round(pass_rate, 3), truncated, unscored FROM pass_rates":          "[[3 2 0.667 1 1]]",
		"SELECT count(*) FROM samples WHERE step_name = 'eval.run'":                           "[[4]]",
		"SELECT max(x1) FROM curves":                                                          "[[2499]]",
		"SELECT count(*) FROM spending":                                                       "[[0]]",
		"SELECT v IS NULL FROM points WHERE x = 5":                                            "[[1]]",
	} {
		rows, err := s.Query(t.Context(), q)
		if err != nil || fmt.Sprint(rows.Rows) != want {
			t.Errorf("%s\ngot  %v, %v\nwant %s", q, rows.Rows, err, want)
		}
	}
	rows, err := s.Query(t.Context(), "SELECT x, v FROM points WHERE metric = 'loss' ORDER BY x")
	must(t, err)
	var got []Point
	for _, r := range rows.Rows {
		v, ok := r[1].(float64)
		if !ok {
			v = math.NaN()
		}
		got = append(got, Point{r[0].(int64), v})
	}
	if !same(got, m.points()) {
		t.Errorf("the view of points has %d points that differ from the %d written", len(got), len(m))
	}
	must(t, s.EndRun("aa", Done, 0, ""))
	rows, err = s.Query(t.Context(), "SELECT status FROM runs")
	if err != nil || rows.Rows[0][0] != "done" {
		t.Errorf("status of a run that ended: %v, %v", rows, err)
	}
}
