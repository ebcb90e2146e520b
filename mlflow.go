package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// exportMLflow writes a file store of MLflow: an experiment for each notebook, a run for each run. Parameters
// are those of the notebook, metrics the curves and the numbers among the facts of its steps.
func exportMLflow(dir string, st *store.Store, runs []string) error {
	b, err := st.Bundle(runs)
	if err != nil {
		return err
	}
	steps := map[cas.Digest]store.BundledStep{}
	for _, s := range b.Steps {
		steps[s.Key] = s
	}
	for _, r := range b.Runs {
		id := cas.Sum([]byte(r.Notebook))
		m := mlflowRun{BundledRun: r, experiment: strconv.FormatUint(uint64(id[0])<<24|uint64(id[1])<<16|uint64(id[2])<<8|uint64(id[3])+1, 10)}
		m.dir = filepath.Join(dir, m.experiment, m.id())
		if err := m.write(steps); err != nil {
			return fmt.Errorf("mlflow: run %s: %w", r.ID, err)
		}
	}
	return nil
}

// mlflowRun is a run on its way to MLflow.
type mlflowRun struct {
	store.BundledRun
	experiment string // its number
	dir        string
}

// id is 32 hex digits: a run of the same id is the same run.
func (m mlflowRun) id() string {
	g := cas.Sum([]byte("mlflow " + m.ID))
	return g.String()[:32]
}

func (m mlflowRun) write(steps map[cas.Digest]store.BundledStep) error {
	for _, sub := range []string{"metrics", "params", "tags", "artifacts"} {
		if err := os.MkdirAll(filepath.Join(m.dir, sub), 0o777); err != nil {
			return err
		}
	}
	if err := m.meta(); err != nil {
		return err
	}
	for _, p := range params(m.Params) {
		value := p.value
		if s, err := strconv.Unquote(value); err == nil {
			value = s
		}
		if err := m.put("params", p.name, value); err != nil {
			return err
		}
	}
	tags := map[string]string{
		"mlflow.runName": m.ID, "mlflow.source.name": m.Notebook, "mlflow.source.type": "NOTEBOOK", "mlflow.source.git.commit": m.GitCommit,
		"starbook.run": m.ID, "starbook.command": strings.Join(m.Argv, " "), "starbook.sweep": m.Sweep,
	}
	for _, t := range m.Tags {
		tags["starbook.tag."+t] = "true"
	}
	var notes []string
	for _, n := range m.Notes {
		notes = append(notes, n.Text)
	}
	tags["mlflow.note.content"] = strings.Join(notes, "\n")
	for _, name := range keys(tags) {
		if tags[name] == "" {
			continue
		}
		if err := m.put("tags", name, tags[name]); err != nil {
			return err
		}
	}
	return m.metrics(steps)
}

// metrics writes a file for each metric: lines of time in ms, value, step. The second step of a
// name has its number behind it.
func (m mlflowRun) metrics(steps map[cas.Digest]store.BundledStep) error {
	seen := map[string]int{}
	for _, u := range m.Uses {
		s, ok := steps[u.Key]
		if !ok {
			continue
		}
		prefix := u.Name
		if seen[u.Name]++; seen[u.Name] > 1 {
			prefix += fmt.Sprintf(".%d", seen[u.Name])
		}
		at := s.Created.UnixMilli()
		for _, name := range keys(s.Curves) {
			var b bytes.Buffer
			for _, p := range s.Curves[name] {
				fmt.Fprintf(&b, "%d %s %d\n", at, mlflowNumber(p.V), p.X)
			}
			if err := m.put("metrics", prefix+"/"+name, b.String()); err != nil {
				return err
			}
		}
		var facts map[string]any
		if json.Unmarshal(s.Summary, &facts) != nil {
			continue // it has none
		}
		for _, name := range keys(facts) {
			if v, ok := facts[name].(float64); ok {
				if err := m.put("metrics", prefix+"/"+name, fmt.Sprintf("%d %s 0\n", at, mlflowNumber(v))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// mlflowNumber writes v so that Python's float reads it.
func mlflowNumber(v float64) string {
	return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(v, 'g', -1, 64), "+"))
}

// unfit is what the name of a metric or a parameter may not contain there.
var unfit = regexp.MustCompile(`[^\w./ -]`)

func (m mlflowRun) put(kind, name, text string) error {
	path := filepath.Join(m.dir, kind, filepath.FromSlash(unfit.ReplaceAllString(name, "_")))
	if !filepath.IsLocal(unfit.ReplaceAllString(name, "_")) {
		return fmt.Errorf("%q is no name that MLflow takes", name)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// meta writes the two meta.yaml files, whose values are JSON, which is YAML.
func (m mlflowRun) meta() error {
	abs, err := filepath.Abs(m.dir)
	if err != nil {
		return err
	}
	status := map[store.Status]int{store.Done: 3, store.Failed: 4, store.Interrupted: 5, store.Pruned: 5}[m.Status]
	end := any(nil)
	if !m.Ended.IsZero() {
		end = m.Ended.UnixMilli()
	}
	err = writeYAML(filepath.Join(m.dir, "meta.yaml"), map[string]any{
		"artifact_uri": "file://" + filepath.Join(abs, "artifacts"), "end_time": end, "entry_point_name": "", "experiment_id": m.experiment,
		"lifecycle_stage": "active", "run_id": m.id(), "run_uuid": m.id(), "run_name": m.ID, "source_name": "", "source_type": 4,
		"source_version": "", "start_time": m.Started.UnixMilli(), "status": status, "tags": []string{}, "user_id": "starbook",
	})
	if err != nil {
		return err
	}
	return writeYAML(filepath.Join(filepath.Dir(m.dir), "meta.yaml"), map[string]any{
		"artifact_location": "file://" + filepath.Dir(abs), "creation_time": m.Started.UnixMilli(), "experiment_id": m.experiment,
		"last_update_time": m.Started.UnixMilli(), "lifecycle_stage": "active", "name": m.Notebook,
	})
}

func writeYAML(path string, values map[string]any) error {
	var b bytes.Buffer
	for _, name := range keys(values) {
		v, err := json.Marshal(values[name])
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s: %s\n", name, v)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
