package dataset

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// exchange is what a row says, for the rules.
type exchange struct {
	row        Row
	prompt     string // all turns before the completion
	completion string
	guess      string
	blank      bool // a turn of user or assistant says nothing
}

func exchangeOf(r Row) exchange {
	x := exchange{row: r}
	x.guess, _ = Text(r, Guess)
	list, chat := r[Messages].([]any)
	if !chat {
		x.prompt, _ = r[Prompt].(string)
		var answered bool
		x.completion, answered = r[Completion].(string)
		_, asked := r[Prompt]
		x.blank = asked && strings.TrimSpace(x.prompt) == "" || answered && strings.TrimSpace(x.completion) == ""
		return x
	}
	var before []string
	for i, t := range list {
		m, _ := t.(map[string]any)
		text, isText := m["content"].(string)
		x.blank = x.blank || isText && strings.TrimSpace(text) == "" && m["role"] != "system" && m["tool_calls"] == nil
		if i == len(list)-1 && m["role"] == "assistant" {
			x.completion = text
		} else {
			before = append(before, text)
		}
	}
	x.prompt = strings.Join(before, "\n\n")
	return x
}

func (x exchange) empty() string {
	if x.blank {
		return "a turn is blank"
	}
	return ""
}

func (x exchange) same() string {
	c := Fold(x.completion)
	switch {
	case c == "":
	case c == Fold(x.prompt):
		return "the completion is the prompt"
	case c == Fold(x.guess):
		return "the completion is the student's answer"
	}
	return ""
}

// truncated believes the server's finish reason first, then the text.
func (x exchange) truncated() string {
	switch finish(x.row) {
	case "length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded":
		return "finish reason " + finish(x.row)
	}
	text := strings.TrimRightFunc(x.completion, unicode.IsSpace)
	if fences(text)%2 == 1 {
		return "a code fence is open"
	}
	if openJSON(text) {
		return "the JSON has no end"
	}
	if last, _ := utf8.DecodeLastRuneInString(text); strings.ContainsRune(",([{=:", last) {
		return "it ends with " + string(last)
	}
	if i := strings.LastIndexFunc(text, unicode.IsSpace); i >= 0 && dangling[text[i+1:]] {
		return "it ends with the word " + text[i+1:]
	}
	return ""
}

// dangling are words that end no English sentence.
var dangling = map[string]bool{"a": true, "an": true, "the": true, "and": true, "or": true, "of": true, "because": true, "than": true, "with": true, "from": true}

// fences counts the lines that open or close a block of code.
func fences(text string) int {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			n++
		}
	}
	return n
}

// openJSON says whether a text is the beginning of a JSON object or list, and no more.
func openJSON(text string) bool {
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return false
	}
	p := parser{b: []byte(text)}
	_, err := p.value(0)
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// finish is why the server stopped, if the row says so.
func finish(r Row) string {
	if f, ok := Text(r, "finish_reason"); ok {
		return f
	}
	teacher, _ := r["teacher"].(map[string]any)
	f, _ := Text(teacher, "finish_reason")
	return f
}

// refusals begin an answer that is none, in the languages of most teachers' users.
var refusals = regexp.MustCompile(`(?i)^\W*(?:` + strings.Join([]string{
	`(?:(?:i['’]m|i am|we['’]re|we are) (?:very |so |really |truly )?sorry|sorry|(?:my )?apologies|i apologi[sz]e)[,.]? (?:but |i (?:can|am|won)|i['’]m )`,
	`(?:i['’]m|i am|we['’]re|we are) (?:unable|not able|not allowed) to\b`,
	`i (?:can(?:['’]t|not)|won['’]t|must (?:decline|refuse)) (?:answer|assist|help|provide|fulfil|comply|do|to|with|support|create|generate|write|engage|respond|discuss)\b`,
	`as an ai(?: language)? (?:model|assistant)\b`,
	`(?:es )?tut mir leid, (?:aber|ich)`, `ich kann (?:dabei|dir dabei|ihnen dabei|diese|darauf) nicht`,
	`(?:je suis )?désolée?, (?:mais|je)`, `je ne peux pas (?:répondre|aider|vous aider)`,
	`lo siento, (?:pero|no)`, `no puedo (?:ayudar|proporcionar|responder)`, `desculpe, (?:mas|não)`, `não posso (?:ajudar|responder)`,
	`mi dispiace, (?:ma|non)`, `non posso (?:aiutar|rispondere)`, `извините, (?:но|я)`, `я не могу (?:помочь|ответить)`,
	`抱歉`, `对不起`, `很抱歉`, `我无法`, `我不能`, `申し訳`, `すみません`,
}, "|") + `)`)

// longRefusal is the length in bytes above which an answer that begins like a
// refusal probably goes on to answer.
const longRefusal = 500

func (x exchange) refused() string {
	switch f := finish(x.row); f {
	case "refusal", "content_filter":
		return "finish reason " + f
	}
	if r, ok := x.row["refusal"].(string); ok && r != "" {
		return "refusal: " + cut(r, 60)
	}
	if len(x.completion) <= longRefusal && refusals.MatchString(x.completion) {
		return cut(x.completion, 60)
	}
	return ""
}

// scaffold is how a teacher speaks of what the student's user will never see.
var scaffold = regexp.MustCompile(`(?i)\b(?:the|this|your) (?:student|smaller model|original model)(?:['’]s)? (?:answer|response|solution|attempt|output|mistake|error|reasoning|made|failed|got|incorrectly)\b|` +
	`\b(?:the )?(?:reference|ground[- ]truth|gold) (?:answer|solution|response)\b|\bas an ai (?:teacher|tutor)\b|` +
	`\b(?:the|your) (?:previous|candidate) (?:answer|attempt|output|response)\b`)

// scaffoldMarks are in every text that scaffold matches: looking for them is cheaper.
var scaffoldMarks = []string{"student", "model", "reference", "truth", "gold", "as an ai", "previous", "candidate"}

// scaffolding does not hold a critique to be one.
func (x exchange) scaffolding() string {
	lower := strings.ToLower(x.completion)
	if x.row["kind"] == "critique" || !slices.ContainsFunc(scaffoldMarks, func(m string) bool { return strings.Contains(lower, m) }) {
		return ""
	}
	return cut(scaffold.FindString(lower), 60)
}

func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	r := []rune(s)
	return string(r[:width-1]) + "…"
}
