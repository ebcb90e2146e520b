package teacher

// Ledger remembers what was asked and what came back, across processes.
type Ledger interface {
	// Answer returns the usable answer of a request, if one was received.
	Answer(k Key) (Reply, bool, error)
	// Begin journals that a request is about to be sent. It is durable on return.
	Begin(k Key, s Spec, canonical []byte) (attempt int64, err error)
	// End keeps what came back; err says why it cannot be used. It is durable on return.
	End(k Key, attempt int64, r Reply, err error) error
}
