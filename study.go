package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"starbook/builtins/sweep"
	"starbook/runtime/store"
)

// study is a sweep as it was asked for. What is in its JSON makes its id: a change of
// anything there is another sweep.
type study struct {
	Notebook  string
	Space     sweep.Space
	Fixed     map[string]string
	Objective string
	Minimize  bool
	Sampler   string
	Trials    int
	Seed      uint64
	Prune     string `json:",omitempty"`
}

// newStudy reads the command line; errors are the user's.
func newStudy(notebook string, f sweepFlags) (study, error) {
	s := study{Notebook: notebook, Fixed: map[string]string{}, Objective: f.maximize, Sampler: f.sampler, Trials: f.trials, Seed: f.seed, Prune: f.prune}
	if f.minimize != "" {
		s.Objective, s.Minimize = f.minimize, true
	}
	if err := s.read(f.params); err != nil {
		return s, err
	}
	if err := s.Space.Check(); err != nil {
		return s, fmt.Errorf("%w: %w", errUsage, err)
	}
	if s.Sampler == "" {
		s.Sampler = "grid"
		if s.Space.Size() == 0 {
			s.Sampler = "random"
		}
	}
	switch s.Sampler {
	case "grid":
		if s.Space.Size() == 0 {
			return s, fmt.Errorf("%w: a grid needs lists of values; for a range take --sampler random or tpe", errUsage)
		}
		s.Trials, s.Seed = 0, 0
	case "random", "tpe":
	default:
		return s, fmt.Errorf("%w: --sampler %s: there are grid, random and tpe", errUsage, s.Sampler)
	}
	if err := s.objective().Check(); err != nil {
		return s, fmt.Errorf("%w: %w", errUsage, err)
	}
	if s.Objective == "" && s.Sampler == "tpe" {
		return s, fmt.Errorf("%w: tpe learns from what trials come to: say --maximize or --minimize", errUsage)
	}
	return s, nil
}

// read sorts the parameters into those that vary and those that are set.
func (s *study) read(list []string) error {
	set, err := parseParams(list)
	if err != nil {
		return err
	}
	for _, name := range keys(set) {
		value := set[name]
		switch {
		case strings.Contains(value, ".."):
			d, err := parseRange(value)
			if err != nil {
				return fmt.Errorf("%w: -p %s=%s: %w", errUsage, name, value, err)
			}
			d.Name = name
			s.Space = append(s.Space, d)
		case strings.Contains(value, ","):
			d := sweep.Dimension{Name: name}
			for word := range strings.SplitSeq(value, ",") {
				d.Choices = append(d.Choices, strings.TrimSpace(word))
			}
			s.Space = append(s.Space, d)
		default:
			s.Fixed[name] = value
		}
	}
	if len(s.Space) == 0 {
		return fmt.Errorf("%w: nothing varies: give a parameter several values, as in -p lr=1e-5,1e-4", errUsage)
	}
	return nil
}

// parseRange reads LOW..HIGH, with :log, :int or :log+int behind it.
func parseRange(s string) (d sweep.Dimension, err error) {
	ends, how, _ := strings.Cut(s, ":")
	low, high, _ := strings.Cut(ends, "..")
	if d.Low, err = strconv.ParseFloat(low, 64); err == nil {
		d.High, err = strconv.ParseFloat(high, 64)
	}
	if err != nil {
		return d, errors.New("write LOW..HIGH, two numbers")
	}
	if how == "" {
		return d, nil
	}
	for word := range strings.SplitSeq(how, "+") {
		switch word {
		case "log":
			d.Log = true
		case "int":
			d.Whole = true
		default:
			return d, fmt.Errorf("%q: there are log, int and log+int", word)
		}
	}
	return d, nil
}

// objective is what the study looks for, as the store has it.
func (s study) objective() store.Objective {
	return store.Objective{Fact: s.Objective, Minimize: s.Minimize}
}

// id names the sweep: the same question has the same name.
func (s study) id() (string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:4]), nil
}

// search returns how trials are chosen and pruned.
func (s study) search() (sweep.Search, error) {
	pruner, err := sweep.ParsePruner(s.Prune)
	out := sweep.Search{Sampler: sweep.Grid{Space: s.Space}, Pruner: pruner}
	switch s.Sampler {
	case "random":
		out.Sampler = sweep.Random{Space: s.Space, Trials: s.Trials, Seed: s.Seed}
	case "tpe":
		out.Sampler = sweep.TPE{Space: s.Space, Trials: s.Trials, Seed: s.Seed, Maximize: !s.Minimize}
	}
	return out, err
}

// size returns how many trials there will be.
func (s study) size() int {
	n := s.Space.Size()
	if s.Sampler == "grid" || n > 0 && n < s.Trials {
		return n
	}
	return s.Trials
}

// params returns the parameters of a trial as -p would say them.
func (s study) params(p sweep.Point) map[string]string {
	out := map[string]string{}
	for name, value := range s.Fixed {
		out[name] = value
	}
	for k, d := range s.Space {
		switch v := p[k].(type) {
		case float64:
			out[d.Name] = strconv.FormatFloat(v, 'g', 4, 64) // what is shown is what is run
		default:
			out[d.Name] = fmt.Sprint(v)
		}
	}
	return out
}

// describe writes lr=0.001 patience=2.
func (s study) describe(p sweep.Point) string {
	values := s.params(p)
	words := make([]string, len(s.Space))
	for k, d := range s.Space {
		words[k] = d.Name + "=" + values[d.Name]
	}
	return strings.Join(words, " ")
}
