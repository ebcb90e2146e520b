//go:build ignore

// This program cuts the published NL-RX-Synth files into the ones beside it:
//
//	go run make.go DIR
//
// where DIR holds synth.{train,val,test}.{src,targ}.txt (see SOURCE.md). The
// same input gives the same bytes.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"starbook/scripts/graders/regex"
)

const (
	seedRows = 600
	devRows  = 1250 // half of the official test rows: settings are chosen on them; the rest is test
)

// Row is one line of the files written. The pool has no answers, and the
// practice teacher's answers have no id: a teacher sees only the prompt.
type Row struct {
	ID     string `json:"id,omitempty"`
	Prompt string `json:"prompt"`
	Answer string `json:"answer,omitempty"`
	Group  string `json:"group,omitempty"`
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run make.go DIR")
	}
	train, val, test := read(os.Args[1], "train"), read(os.Args[1], "val"), read(os.Args[1], "test")
	train = heldOut(train, val, test)
	report(train, test)

	r := rand.New(rand.NewPCG(2016, 11)) // the month of the paper
	r.Shuffle(len(train), func(i, j int) { train[i], train[j] = train[j], train[i] })
	r.Shuffle(len(test), func(i, j int) { test[i], test[j] = test[j], test[i] })
	seed, pool, dev, test := train[:seedRows], train[seedRows:], test[:devRows], test[devRows:]
	var questions, answers []Row
	for _, row := range byID(pool) {
		questions = append(questions, Row{ID: row.ID, Prompt: row.Prompt})
		answers = append(answers, Row{Prompt: row.Prompt, Answer: row.Answer})
	}
	write("seed.jsonl", byID(seed))
	write("pool.jsonl", questions)
	write("answers.jsonl", answers)
	write("dev.jsonl", byID(dev))
	write("test.jsonl", byID(test))
}

// words are the strings that stand behind the data's markers, as in the
// authors' evaluation script.
var words = strings.NewReplacer(
	"<M0>", "dog", "<M1>", "truck", "<M2>", "ring", "<M3>", "lake",
	"<VOW>", "AEIOUaeiou", "<NUM>", "0-9", "<LET>", "A-Za-z", "<CAP>", "A-Z", "<LOW>", "a-z",
)

func read(dir, part string) []Row {
	src := lines(filepath.Join(dir, "synth."+part+".src.txt"))
	targ := lines(filepath.Join(dir, "synth."+part+".targ.txt"))
	if len(src) != len(targ) {
		log.Fatalf("%s: %d prompts, %d answers", part, len(src), len(targ))
	}
	rows := make([]Row, len(src))
	for i := range src {
		rows[i] = Row{
			ID:     fmt.Sprintf("%s-%04d", part, i+1), // the line number
			Prompt: english(src[i]),
			Answer: words.Replace(strings.ReplaceAll(targ[i], " ", "")),
			Group:  group(src[i]),
		}
		if score, note := regex.Grade("", rows[i].Answer+"|"+rows[i].Answer, rows[i].Answer); score != 1 {
			log.Fatalf("%s: %s: %s", rows[i].ID, rows[i].Answer, note)
		}
	}
	return rows
}

// english undoes the tokenisation of a prompt.
func english(s string) string {
	for _, m := range []string{"<M0>", "<M1>", "<M2>", "<M3>"} {
		s = strings.ReplaceAll(s, m, "'"+words.Replace(m)+"'")
	}
	return strings.ReplaceAll(s, " ,", ",")
}

// group names what makes a prompt hard, the rarest trait first.
func group(src string) string {
	traits := []struct{ name, marks string }{
		{"negation", "not|don't"},
		{"words with", "words"},
		{"starts or ends", "starting|ending"},
		{"n or more times", "times|once"},
		{"order", "before|followed"},
		{"and or", "and|or"},
	}
	tokens := strings.Fields(src)
	for _, t := range traits {
		for _, mark := range strings.Split(t.marks, "|") {
			if slices.Contains(tokens, mark) {
				return t.name
			}
		}
	}
	return "plain"
}

// heldOut drops rows of train that repeat, whose prompt is in val or test, or
// whose expression is in test.
func heldOut(train, val, test []Row) []Row {
	prompts, answers := map[string]bool{}, map[string]bool{}
	for _, row := range slices.Concat(val, test) {
		prompts[row.Prompt] = true
	}
	for _, row := range test {
		answers[row.Answer] = true
	}
	var kept []Row
	for _, row := range train {
		if !prompts[row.Prompt] && !answers[row.Answer] {
			prompts[row.Prompt] = true
			kept = append(kept, row)
		}
	}
	fmt.Printf("train: %d rows, %d kept\n", len(train), len(kept))
	return kept
}

// report counts the rows of train that mean the same as some row of test
// though they are written differently.
func report(train, test []Row) {
	r := rand.New(rand.NewPCG(7, 7))
	probes := []string{"", "a", "E", "7", "dog", "truck", "-"}
	for range 200 {
		probe := ""
		for range 1 + r.IntN(7) {
			probe += []string{"a", "b", "E", "K", "0", "7", "-", "dog", "truck", "ring", "lake"}[r.IntN(11)]
		}
		probes = append(probes, probe)
	}
	classes := map[string][]string{} // expressions of test by what they do to the probes
	for _, row := range test {
		print := fingerprint(row.Answer, probes)
		if !slices.Contains(classes[print], row.Answer) {
			classes[print] = append(classes[print], row.Answer)
		}
	}
	same, trivial := 0, 0
	for _, row := range train {
		print := fingerprint(row.Answer, probes)
		for _, want := range classes[print] {
			if score, _ := regex.Grade("", row.Answer, want); score == 1 {
				same++
				if !strings.Contains(print, "0") || !strings.Contains(print, "1") {
					trivial++
				}
				break
			}
		}
	}
	fmt.Printf("train: %d rows mean the same as a row of test, %d of them accept all probes or none\n", same, trivial)
}

func fingerprint(expr string, probes []string) string {
	bits := make([]byte, len(probes))
	for i, probe := range probes {
		bits[i] = '0'
		if ok, err := regex.Matches(expr, probe); err != nil {
			log.Fatal(err)
		} else if ok {
			bits[i] = '1'
		}
	}
	return string(bits)
}

func byID(rows []Row) []Row {
	return slices.SortedFunc(slices.Values(rows), func(a, b Row) int { return strings.Compare(a.ID, b.ID) })
}

func lines(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func write(path string, rows []Row) {
	f, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, row := range rows {
		if err := enc.Encode(row); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d rows\n", path, len(rows))
}
