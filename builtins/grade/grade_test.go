package grade

import (
	"strings"
	"testing"
)

// Golden vectors: a change here is a change of verdicts, and wants a new
// Version of the grader.
func TestGoldenVectors(t *testing.T) {
	cut, err := NewRegex(`answer:\s*(\w+)`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		g            Grader
		answer, want string
		outcome      Outcome
	}{
		{Exact{}, "42", "42", Pass},
		{Exact{}, "42 ", "42", Fail},
		{Exact{Strip: true}, " 42\n", "42", Pass},
		{Exact{Strip: true}, "<think>43?</think>\n42", "42", Pass},
		{Exact{}, "Paris", "paris", Fail},
		{Exact{FoldCase: true}, "Paris", "paris", Pass},
		{Exact{}, "b a", "a b", Fail}, // word order counts
		{Exact{}, "", "42", Empty},
		{Exact{}, " \n", "42", Empty},
		{Exact{}, "I'm sorry, but I can't help with that.", "42", Refused},
		{Exact{}, "I cannot answer this.", "42", Refused},
		{Exact{}, "As an AI language model, I cannot do that", "42", Refused},
		{Exact{}, "He said: I cannot come.", "42", Fail},

		{Contains{}, "It is Paris.", "Paris", Pass},
		{Contains{}, "It is paris.", "Paris", Fail},
		{Contains{FoldCase: true}, "It is paris.", "Paris", Pass},
		{Contains{}, "<think>Paris</think>London", "Paris", Fail},
		{Contains{}, "anything", "", Unscored},

		{cut, "answer: yes, no: answer: no", "no", Pass}, // the last match
		{cut, "answer: yes", "no", Fail},
		{cut, "yes", "yes", Unparsable},

		{Numeric{}, "He has 3 + 4 = 7 apples. #### 7", "So #### 7", Pass},
		{Numeric{}, "#### 7\nThat is 100 %.", "7", Pass}, // the mark wins
		{Numeric{}, "The answer is 1,234.50 dollars", "1234.5", Pass},
		{Numeric{}, "$20", "20", Pass},
		{Numeric{}, "costs $-5", "-5", Pass},
		{Numeric{}, "-$5", "-5", Pass},
		{Numeric{}, "−5", "-5", Pass},
		{Numeric{}, "10-5", "5", Pass}, // a minus between numbers is no sign
		{Numeric{}, "- 5 apples", "5", Pass},
		{Numeric{}, "1/2", "0.5", Pass},
		{Numeric{}, "1 1/2", "1.5", Pass},
		{Numeric{}, "-1 1/2", "-1.5", Pass},
		{Numeric{}, `\boxed{\frac{3}{4}}, since 4 > 3`, "0.75", Pass},
		{Numeric{}, "50%", "50", Pass},
		{Numeric{}, "1e3", "1000", Pass},
		{Numeric{}, ".5", "0.5", Pass},
		{Numeric{}, "7.", "7", Pass},
		{Numeric{}, "7.0", "7", Pass},
		{Numeric{}, "0.1", "0.10000001", Fail},
		{Numeric{Tolerance: 1e-3}, "0.1", "0.10000001", Pass},
		{Numeric{}, "<think>41? 42?</think> 40", "42", Fail},
		{Numeric{}, "1 or 2", "1", Fail}, // the last number
		{Numeric{}, "1/0", "0", Pass},    // no fraction: 1, then 0
		{Numeric{}, "1e999999999", "5", Fail},
		{Numeric{}, "none", "5", Unparsable},
		{Numeric{}, "5", "none", Unscored},
		{Numeric{}, "The answer is 42, since 2 + 40 is that.", "42", Pass}, // what it calls its answer
		{Numeric{}, "**Answer:** 42 (from 6 and 7)", "42", Pass},
		{Numeric{}, "The answer is the sum of 2 and 40, which is 42", "42", Pass},
		{Numeric{}, "Answer: $1,234.50 for 3 nights", "1234.5", Pass},
		{Numeric{}, `\boxed{1{,}234}`, "1234", Pass},
		{Numeric{}, `\boxed{\$1\,234.5}`, "1234.5", Pass},
		{Numeric{}, `\boxed{1\frac{1}{2}}`, "1.5", Pass},
		{Numeric{}, `\boxed{\left(\dfrac{-3}{4}\right)}`, "-0.75", Pass},
		{Numeric{}, `\boxed{\text{about }12\text{ km}^{}}`, "12", Pass},
		{Numeric{}, `\boxed{50\%}`, "50", Pass},
		{Numeric{}, "1\u202f234\u00a0567", "1234567", Pass},
		{Numeric{}, "2½ hours", "2.5", Pass},
		{Numeric{}, "¾", "0.75", Pass},
		{Numeric{}, `1.2 \times 10^{3}`, "1200", Pass},
		{Numeric{}, "1.2×10^-3", "0.0012", Pass},
		{Numeric{}, "$1.5 million", "1,500,000", Pass},
		{Numeric{}, "two hundred", "200", Unparsable}, // words are not read
		{Numeric{}, "12 hundred", "1200", Pass},
		{Numeric{}, "5 km", "5", Pass},
		{Numeric{}, "€ 5", "5", Pass},
		{Numeric{}, "#### 1,000.00 USD", "1000", Pass},
		{Numeric{}, "####\n42", "42", Pass},
		{Numeric{}, "3–4 hours", "4", Pass}, // a range: its last number
		{Numeric{}, "1,23", "123", Fail},    // no thousands: 1, then 23

		{Choice{}, "B", "B", Pass},
		{Choice{}, "b", "B", Pass},
		{Choice{}, "(B) because", "B", Pass},
		{Choice{}, "**B**", "(B)", Pass},
		{Choice{}, "B. A dog", "B", Pass},
		{Choice{}, "A dog is an animal, so the answer is (C).", "C", Pass},
		{Choice{}, "Not option A. Answer: D", "D", Pass},
		{Choice{}, `so \boxed{\text{C}}`, "C", Pass},
		{Choice{}, "I think C) fits", "C", Pass},
		{Choice{}, "A dog", "A", Unparsable},
		{Choice{}, "either (A) or (B)", "A", Unparsable},
		{Choice{}, "The answer is Berlin", "B", Unparsable},
		{Choice{}, "A", "Berlin", Unscored},

		{JSON{}, `{"b": [1, 2.0], "a": null}`, `{"a":null,"b":[1.0,2]}`, Pass},
		{JSON{}, "Here:\n```json\n{\"a\": 1}\n```\n", `{"a":1}`, Pass},
		{JSON{}, `{"a": 1}`, `{"a":"1"}`, Fail},
		{JSON{}, `{"a": 1, "b": 2}`, `{"a":1}`, Fail},
		{JSON{}, `[1,2]`, `[2,1]`, Fail},
		{JSON{}, `12345678901234567890`, `12345678901234567891`, Fail},
		{JSON{}, `{"a": 1} {"b": 2}`, `{"a":1}`, Unparsable},
		{JSON{}, `{"a": `, `{"a":1}`, Unparsable},
		{JSON{}, `1`, `{`, Unscored},
	}
	for _, test := range tests {
		scores, err := All(t.Context(), test.g, []Item{{Answer: test.answer, Want: test.want}})
		if err != nil {
			t.Fatal(err)
		}
		s := scores[0]
		if s.Outcome != test.outcome || (s.Value == 1) != (s.Outcome == Pass) {
			t.Errorf("%s: %q against %q: %+v, want %s", test.g.Name(), test.answer, test.want, s, test.outcome)
		}
	}
}

func TestTruncatedIsAClassOfItsOwn(t *testing.T) {
	items := []Item{
		{Answer: "41", Want: "42", Truncated: true},
		{Answer: "42", Want: "42", Truncated: true},
		{Answer: "", Want: "42", Truncated: true},
		{Answer: "41", Want: "42"},
	}
	scores, err := All(t.Context(), Exact{}, items)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Outcome{Truncated, Pass, Truncated, Fail} {
		if scores[i].Outcome != want {
			t.Errorf("item %d is %s, want %s", i, scores[i].Outcome, want)
		}
	}
}

func TestVersionsNameTheOptions(t *testing.T) {
	if (Exact{}).Version() == (Exact{Strip: true}).Version() || (Numeric{}).Version() == (Numeric{Tolerance: 1e-3}).Version() {
		t.Error("two graders that judge differently have one version")
	}
}

func TestJSONNotesThePlace(t *testing.T) {
	s, err := JSON{}.Grade(t.Context(), Item{Answer: `{"a":[1,{"b":2}]}`, Want: `{"a":[1,{"b":3}]}`})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.Note, "$.a[1].b: got 2, want 3") {
		t.Errorf("note %q", s.Note)
	}
}
