package train

import (
	"encoding/json"
	"strconv"
)

// number is a float64 that survives JSON even if it is none.
type number float64

// MarshalJSON writes a string if x is not finite.
func (x number) MarshalJSON() ([]byte, error) {
	if notFinite(float64(x)) {
		return json.Marshal(strconv.FormatFloat(float64(x), 'g', -1, 64))
	}
	return json.Marshal(float64(x))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (x *number) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		f, err := strconv.ParseFloat(s, 64)
		*x = number(f)
		return err
	}
	return json.Unmarshal(b, (*float64)(x))
}

type plainEval Eval

// wireEval shadows the fields of an Eval that may not be finite.
type wireEval struct {
	plainEval
	Loss, LossHF number
}

// MarshalJSON writes the fields under their names.
func (e Eval) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireEval{plainEval(e), number(e.Loss), number(e.LossHF)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Eval) UnmarshalJSON(b []byte) error {
	var w wireEval
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*e = Eval(w.plainEval)
	e.Loss, e.LossHF = float64(w.Loss), float64(w.LossHF)
	return nil
}

type plainUpdate Update

// wireUpdate shadows the fields of an Update that may not be finite.
type wireUpdate struct {
	plainUpdate
	Loss, GradNorm number
}

// MarshalJSON writes the fields under their names.
func (u Update) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireUpdate{plainUpdate(u), number(u.Loss), number(u.GradNorm)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (u *Update) UnmarshalJSON(b []byte) error {
	var w wireUpdate
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*u = Update(w.plainUpdate)
	u.Loss, u.GradNorm = float64(w.Loss), float64(w.GradNorm)
	return nil
}
