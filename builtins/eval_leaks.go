package builtins

import (
	"errors"
	"fmt"
	"slices"

	"starbook/builtins/dataset"
	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// trainings are the datasets that a model was trained on, as part of the
// arguments of an evaluation: the lineage is the store's, and the step must be a
// function of its arguments.
type trainings struct {
	TrainedOn []Handle `arg:"trained_on=[]" kind:"dataset" doc:"all datasets that the model was trained on"`
	Related   []string `arg:"related=[]" doc:"digests of those that were made from the items, or from what they were made from"`
	Selected  []string `arg:"selected=[]" doc:"digests of those that an evaluation of these items chose"`
}

// trainingsOf finds the datasets of all trainings behind the artifacts, and how
// they and more are related to the items.
func trainingsOf(st *store.Store, items Handle, artifacts []cas.Digest, more []Handle) (t trainings, err error) {
	found, err := trainedOn(st, artifacts)
	if err != nil {
		return t, err
	}
	t.TrainedOn = slices.Concat(found, more)
	slices.SortFunc(t.TrainedOn, func(a, b Handle) int { return slices.Compare(a.Digest[:], b.Digest[:]) })
	t.TrainedOn = slices.CompactFunc(t.TrainedOn, func(a, b Handle) bool { return a.Digest == b.Digest })
	own, err := ancestors(st, items.Digest)
	if err != nil {
		return t, err
	}
	for _, d := range t.TrainedOn {
		theirs, err := ancestors(st, d.Digest)
		if err != nil {
			return t, err
		}
		for g := range theirs {
			if _, shared := own[g]; shared {
				t.Related = append(t.Related, d.Digest.String())
				break
			}
		}
		for _, s := range theirs {
			if s.Kind == "scores" && slices.Contains(s.Inputs, items.Digest) {
				t.Selected = append(t.Selected, d.Digest.String())
				break
			}
		}
	}
	return t, nil
}

// trainedOn walks from models and adapters back through trainings, merges and
// tokenizers, and returns the datasets that they read: what was trained on and
// what training was stopped by.
func trainedOn(st *store.Store, artifacts []cas.Digest) ([]Handle, error) {
	var out []Handle
	seen := map[cas.Digest]bool{}
	for len(artifacts) > 0 {
		g := artifacts[len(artifacts)-1]
		artifacts = artifacts[:len(artifacts)-1]
		if seen[g] {
			continue
		}
		seen[g] = true
		s, err := st.StepByOutput(g)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		switch s.Kind {
		case "dataset":
			h := Handle{}
			h.Kind, h.Digest, h.Summary, h.Step = s.Kind, g, s.Summary, s.Key
			out = append(out, h)
		case "model", "adapter", "logits":
			artifacts = append(artifacts, s.Inputs...)
		}
	}
	return out, nil
}

// ancestors returns the artifact and all that it was made from, with the steps
// that made them.
func ancestors(st *store.Store, g cas.Digest) (map[cas.Digest]store.Step, error) {
	out := map[cas.Digest]store.Step{}
	for todo := []cas.Digest{g}; len(todo) > 0; {
		g := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, ok := out[g]; ok {
			continue
		}
		s, err := st.StepByOutput(g)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		out[g] = s
		todo = append(todo, s.Inputs...)
	}
	return out, nil
}

// mark looks for the samples' items among what was trained on and shown, and
// says in facts what it found.
func (t *trainings) mark(st *store.Store, shots Handle, samples []store.Sample, facts Facts) error {
	var items []dataset.Item
	var places [][]int // samples of each item
	index := map[string]int{}
	for i, s := range samples {
		id := itemID(s)
		k, ok := index[id]
		if !ok {
			k = len(items)
			index[id] = k
			items, places = append(items, dataset.Item{ID: id, Parent: s.Parent, Text: s.Prompt}), append(places, nil)
		}
		places[k] = append(places[k], i)
	}
	leaks := dataset.NewLeaks(items)
	if !shots.Digest.IsZero() {
		rows, err := ReadRows(st, shots)
		if err != nil {
			return err
		}
		shown := dataset.NewLeaks(items)
		for _, r := range rows {
			shown.Row(r, true)
		}
		for _, l := range shown.Found() {
			for _, i := range places[l.Item] {
				samples[i].Leak = "few-shot"
			}
		}
	}
	trained := 0
	for _, d := range t.TrainedOn {
		rows, err := ReadRows(st, d)
		if err != nil {
			return fmt.Errorf("trained_on: %w", err)
		}
		related := slices.Contains(t.Related, d.Digest.String())
		for _, r := range rows {
			leaks.Row(r, related)
		}
		trained += len(rows)
	}
	for _, l := range leaks.Found() {
		for _, i := range places[l.Item] {
			samples[i].Leak = l.How
		}
	}
	by, n := map[string]int{}, 0
	for k := range items {
		if how := samples[places[k][0]].Leak; how != "" {
			by[how]++
			n++
		}
	}
	facts["trained_rows"], facts["leaked"] = trained, n
	if n > 0 {
		facts["leaks"] = by
		facts["selected"] = len(t.Selected) > 0
		facts["twins"] = leaks.Twins()
	}
	return nil
}
