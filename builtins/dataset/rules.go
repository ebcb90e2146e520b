package dataset

import "slices"

// A Code names a rule that rows are checked by. E is an error, W a warning.
type Code string

// The codes.
const (
	Schema     Code = "E-SCHEMA"
	Encoding   Code = "E-ENC"
	Empty      Code = "E-EMPTY"
	Same       Code = "E-SAME"
	Truncated  Code = "E-TRUNC"
	Refused    Code = "E-REFUSE"
	LeakPrompt Code = "E-LEAKPROMPT"
	TooLong    Code = "E-LONG"
	Wrong      Code = "E-WRONG"
	Tie        Code = "W-TIE"
	Tested     Code = "E-TEST"
	Duplicate  Code = "W-DUP"
	NearTwin   Code = "W-NEAR"
	Language   Code = "W-LANG"
	Personal   Code = "W-PII"
	Key        Code = "W-SECRET"
	Skew       Code = "W-SKEW"
)

// An Action is what is done about a row that breaks a rule.
type Action string

// The actions.
const (
	Drop   Action = "drop"
	Repair Action = "repair" // the row stays, mended by Mend
	Warn   Action = "warn"   // the row stays as it is
)

// A Rule is what a code means.
type Rule struct {
	Code   Code
	Action Action
	Says   string
}

// Rules is THE list of them. Of several actions on a row the first one in the
// list that drops it is why it was dropped.
var Rules = []Rule{
	{Schema, Drop, "no prompt or completion, turns in a wrong order, or the id of an earlier row"},
	{Encoding, Drop, "U+FFFD or control characters: text was read in a wrong encoding; what can be undone without loss is (mojibake, line ends, byte order marks)"},
	{Empty, Drop, "a turn is blank"},
	{Same, Drop, "the completion repeats the prompt or the student's answer"},
	{Truncated, Drop, "the completion was cut off: finish_reason, an open code fence, JSON without its end, a sentence that breaks off, some words that do"},
	{Refused, Drop, "the teacher refused"},
	{LeakPrompt, Drop, "the completion talks of the scaffolding: the student's answer, the reference"},
	{TooLong, Drop, "more tokens than the student may see"},
	{Wrong, Drop, "the grader rejects the completion"},
	{Tie, Drop, "the grader passes what the student had said: no failure"},
	{Tested, Drop, "an item of an evaluation: by id, parent, words, 13 words in a row that cover half of it, or Jaccard 0.8"},
	{Duplicate, Drop, "an earlier row says the same; case and white space do not count"},
	{NearTwin, Drop, "an earlier row says nearly the same: Jaccard 0.8 of all five words in a row that are not common to 1 % of the rows"},
	{Language, Warn, "the completion is in another language than the prompt"},
	{Personal, Warn, "an e-mail address"},
	{Key, Warn, "a key or password of a service"},
	{Skew, Warn, "one prompt has more than 0.5 % of all rows"},
}

// RuleOf returns the rule of a code.
func RuleOf(c Code) (Rule, bool) {
	i := slices.IndexFunc(Rules, func(r Rule) bool { return r.Code == c })
	if i < 0 {
		return Rule{}, false
	}
	return Rules[i], true
}

// A Finding is a row that breaks a rule.
type Finding struct {
	Row    int // from 0
	Code   Code
	Action Action
	Why    string
}

// Found makes a finding with its rule's action.
func Found(row int, c Code, why string) Finding {
	r, _ := RuleOf(c)
	return Finding{row, c, r.Action, why}
}

// Reason returns for which of its findings a row goes, if it does. Those with
// a code in keep are only reported.
func Reason(findings []Finding, keep []Code) (why Finding, goes bool) {
	for _, f := range findings {
		if f.Action == Drop && !slices.Contains(keep, f.Code) && (!goes || rank(f.Code) < rank(why.Code)) {
			why, goes = f, true
		}
	}
	return why, goes
}

// ByRow groups findings.
func ByRow(all []Finding) map[int][]Finding {
	out := map[int][]Finding{}
	for _, f := range all {
		out[f.Row] = append(out[f.Row], f)
	}
	return out
}

func rank(c Code) int { return slices.IndexFunc(Rules, func(r Rule) bool { return r.Code == c }) }
