package token

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The merges are those that the tokenizers library learns from the same texts.
func TestTrainIsTheReference(t *testing.T) {
	var golden struct {
		Texts     []string
		Tokenizer file
	}
	if err := json.NewDecoder(open(t, "testdata/train.json.gz")).Decode(&golden); err != nil {
		t.Fatal(err)
	}
	texts := golden.Texts
	first, err := Train(slices.Values(texts), 700, []string{"[PAD]", "[END]"})
	if err != nil {
		t.Fatal(err)
	}
	var got file
	if err := json.Unmarshal(first, &got); err != nil {
		t.Fatal(err)
	}
	want := golden.Tokenizer
	for i := range want.Model.Merges {
		if i >= len(got.Model.Merges) || got.Model.Merges[i] != want.Model.Merges[i] {
			t.Fatalf("merge %d of %d differs: %q", i, len(got.Model.Merges), want.Model.Merges[i])
		}
	}
	if !maps.Equal(got.Model.Vocab, want.Model.Vocab) || len(got.Model.Merges) != len(want.Model.Merges) {
		t.Errorf("the vocabulary differs")
	}
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	again, err := Train(slices.Values(texts), 700, []string{"[PAD]", "[END]"})
	if err != nil || !bytes.Equal(first, again) {
		t.Error("the order of the texts matters", err)
	}
}

func TestTrainedRoundTrip(t *testing.T) {
	texts := []string{"the cat sat on the mat", "the cat ate the rat<|end|>the end", "Ünï 日本語"}
	j, err := Train(slices.Values(texts), 280, []string{"<|end|>"})
	if err != nil {
		t.Fatal(err)
	}
	tk, err := Load(bytes.NewReader(j))
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := tk.ID("<|end|>"); !ok || id != 0 || !tk.Special(0) || tk.Vocab() != 280 {
		t.Errorf("<|end|> is %d, %v; %d tokens", id, ok, tk.Vocab())
	}
	for _, s := range append(texts, "other \x00\xff bytes \r\n", "") {
		if got := tk.Decode(tk.Encode(s)); got != validUTF8(s) {
			t.Errorf("%q became %q", s, got)
		}
	}
	if ids := tk.Encode("the cat"); len(ids) > 3 {
		t.Errorf("learnt nothing: %d tokens", len(ids))
	}
	if strings.Contains(tk.DecodePlain(tk.Encode(texts[1])), "<|end|>") {
		t.Error("the special token is text")
	}
}

func TestTrainSmall(t *testing.T) {
	texts := slices.Values([]string{"abab abab", "ab"})
	j, err := Trainer{Vocab: 100, SeenBytes: true}.Train(texts)
	if err != nil {
		t.Fatal(err)
	}
	tk, err := Load(bytes.NewReader(j))
	if err != nil {
		t.Fatal(err)
	}
	// a, b, Ġ; ab, abab, Ġabab: then no pair is left
	if tk.Vocab() != 6 || len(tk.Encode("abab abab")) != 2 {
		t.Errorf("%d tokens: %q", tk.Vocab(), tk.text)
	}
	for want, o := range map[string]Trainer{
		"too small":        {Vocab: 100},
		"given twice":      {Vocab: 300, Specials: []string{"<x>", "<x>"}},
		"empty":            {Vocab: 300, Specials: []string{""}},
		"single character": {Vocab: 300, Specials: []string{"a"}},
	} {
		if _, err := o.Train(texts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	// "Ġabab" is spelled like a token that would be learnt
	j, err = Trainer{Vocab: 100, Specials: []string{"Ġabab"}, SeenBytes: true}.Train(texts)
	if err != nil {
		t.Fatal(err)
	}
	if tk, err = Load(bytes.NewReader(j)); err != nil || slices.Contains(tk.Encode("abab abab"), 0) {
		t.Error("text gave a special token", err)
	}
}
