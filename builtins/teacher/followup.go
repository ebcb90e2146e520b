package teacher

import "fmt"

// followUp returns the question that a reply leads to, at most one of each kind:
// the same with twice the limit if the answer was cut off, or a request to mend
// an answer that does not fit the schema. It depends on nothing but r and the
// reply, so that a later run finds both answers in the ledger.
func (r Request) followUp(reply Reply) (Request, bool) {
	switch {
	case reply.Finish == Length && !r.Once && !r.longer:
		r.MaxTokens, r.longer = 2*r.MaxTokens, true
		return r, true
	case reply.Finish == Stop && r.Schema != nil && !r.reformed:
		bad := r.Schema.Check(reply.Text)
		if bad == nil {
			return r, false
		}
		r.Messages = append(r.messages()[r.systems():], Message{"assistant", reply.Text}, Message{
			"user", fmt.Sprintf("This does not fit the JSON schema: %v. Reply with the corrected JSON and nothing else.", bad),
		})
		r.Prompt, r.reformed = "", true
		return r, true
	}
	return r, false
}

// systems is how many of the messages are the System instruction.
func (r Request) systems() int {
	if r.System == "" {
		return 0
	}
	return 1
}

// Unfit says why a reply is no answer to r that can be trained on: by name,
// truncated, refused, filtered, invalid, empty; "" if it is one.
func (r Request) Unfit(reply Reply) string {
	switch {
	case reply.Finish == Refused || reply.Refusal != "":
		return "refused"
	case reply.Finish == Filtered:
		return "filtered"
	case reply.Finish == Length:
		return "truncated"
	case reply.Text == "":
		return "empty"
	case r.Schema != nil && r.Schema.Check(reply.Text) != nil:
		return "invalid"
	}
	return ""
}
