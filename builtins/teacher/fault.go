package teacher

// Fault names why there is no answer. The names are counted and stored.
type Fault string

// The faults. What each means for the row and for the run is in the table below.
const (
	RateLimited Fault = "rate_limited" // too many requests or tokens a minute
	Overloaded  Fault = "overloaded"   // 503, 529
	ServerError Fault = "server_error" // another 5xx, 408, 409
	Unreachable Fault = "unreachable"  // no connection: nothing was sent
	Timeout     Fault = "timeout"      // sent, and no reply in time
	Reset       Fault = "reset"        // sent, and the connection ended without a reply
	CutOff      Fault = "cut_off"      // the reply broke off
	Garbled     Fault = "garbled"      // a reply that is no JSON, or half of it
	ErrorIn200  Fault = "error_in_200" // status 200 with an error inside
	NoChoices   Fault = "no_choices"   // status 200 with no answer inside
	Rejected    Fault = "rejected"     // this request is at fault
	TooLong     Fault = "too_long"     // this request exceeds the context
	Quota       Fault = "quota"        // the account has no money left, or may spend no more
	Denied      Fault = "denied"       // the key or the model is wrong
	Expired     Fault = "expired"      // a batch ended before its turn came
	NeverSent   Fault = "never_sent"   // a batch that did not reach its provider
)

// nature is what a fault means.
type nature struct {
	retry bool // another try may help
	stop  bool // all further requests would fail as well
	doubt bool // it may have been paid for
}

var natures = map[Fault]nature{
	RateLimited: {retry: true},
	Overloaded:  {retry: true},
	ServerError: {retry: true},
	Unreachable: {retry: true},
	Timeout:     {retry: true, doubt: true},
	Reset:       {retry: true, doubt: true},
	CutOff:      {retry: true, doubt: true},
	Garbled:     {retry: true, doubt: true},
	ErrorIn200:  {retry: true},
	NoChoices:   {retry: true},
	Quota:       {stop: true},
	Denied:      {stop: true},
	Expired:     {retry: true},
	NeverSent:   {retry: true},
}
