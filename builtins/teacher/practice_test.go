package teacher

import (
	"fmt"
	"strings"
	"testing"

	"starbook/builtins/teacher/stub"
)

func TestPractice(t *testing.T) {
	p, err := StartPractice(map[string]string{"two and two": "four"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := New(Spec{Provider: "practice", BaseURL: p.URL, Model: PracticeModel}, "", Deadlines{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Send(t.Context(), Request{Model: PracticeModel, Prompt: "two and two", MaxTokens: 9})
	if err != nil || r.Text != "four" || r.Model != PracticeModel {
		t.Errorf("got %q from %q: %v", r.Text, r.Model, err)
	}
	r, err = c.Send(t.Context(), Request{Model: PracticeModel, Prompt: "what else", MaxTokens: 9})
	if err != nil || r.Refusal == "" {
		t.Errorf("an unknown question: %q, refusal %q: %v", r.Text, r.Refusal, err)
	}
}

func TestTheKeyStaysOutOfErrors(t *testing.T) {
	for _, format := range protocols {
		s := start(t, stub.Options{Key: "another", Faults: func(string, int) stub.Fault { return stub.Named("401") }})
		_, err := client(t, format, s.URL).Send(t.Context(), asks(1)[0])
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), "sk-test-0123456789") {
			t.Errorf("got %v", err)
		}
	}
}
