package teacher

// Ledger remembers what was asked and what came back, across processes.
type Ledger interface {
	// Answer returns the usable answer of a request, if one was received: one
	// that ended by itself, or one that was cut off at maxTokens or later. Its
	// reply holds the body; the teacher reads it.
	Answer(k Key, maxTokens int) (Reply, bool, error)
	// Answered returns those of the keys for which an answer was received, usable
	// under some limit on tokens.
	Answered(keys []Key) (map[Key]bool, error)
	// Begin journals that a request is about to be sent. It is durable on return.
	Begin(a Attempt) (id int64, err error)
	// End keeps what came back: never later than what is journalled after End has
	// returned, and durable once the function has.
	End(o Outcome) (durable func() error)
}

// Attempt is one sending of a request.
type Attempt struct {
	Key         Key
	Spec        Spec
	Canonical   []byte
	MaxTokens   int
	ReservedUSD float64 // what it can cost at most
}

// Outcome is what became of an attempt.
type Outcome struct {
	ID       int64 // as Begin numbered it
	Key      Key
	Reply    Reply  // of a failure, what came of it
	Failure  *Error // why there is no answer; nil if there is one
	DoubtUSD float64
}
