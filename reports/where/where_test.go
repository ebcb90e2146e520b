package where

import (
	"errors"
	"strings"
	"testing"
)

// run is what the tests filter.
var run = map[string][]any{
	"lr": {2e-5}, "status": {"done"}, "notebook": {"scripts/quick.star"}, "tag": {"good", "paper"},
	"shuffle": {true}, "eval/loss": {0.41}, "lora.train.epochs": {3.0}, "seed": {1.0, 2.0},
}

func TestMatch(t *testing.T) {
	for src, want := range map[string]bool{
		``:                                 true,
		`lr > 1e-5 and status == "done"`:   true,
		`lr > 1e-5 and status == 'failed'`: false,
		`1e-5 < lr <= 2e-5`:                true,
		`1e-5 < lr < 2e-5`:                 false,
		`not lr > 1e-5 or shuffle`:         true,
		`not (lr > 1e-5 or shuffle)`:       false,
		`lr > 1 and lr > 1 or lr < 1`:      true, // and binds tighter
		`lr > 1 and (lr > 1 or lr < 1)`:    false,
		`eval/loss < .5`:                   true,
		`lora.train.epochs == 3`:           true,
		`notebook ~ "quick|slow"`:          true,
		`notebook ~ "^quick"`:              false,
		`tag == "paper"`:                   true, // one of several
		`seed >= 2 and seed < 2`:           true,
		`missing == 1`:                     false,
		`missing != 1`:                     false,
		`not missing == 1`:                 true,
		`lr == "2e-5"`:                     false, // text is no number
		`status != "failed"`:               true,
		`status < "e"`:                     true,
		`shuffle == true`:                  true,
		`-1 < lr`:                          true,
		`status == "do\"ne"`:               false,
		strings.Repeat("(", 40) + "lr>0" + strings.Repeat(")", 40): true,
	} {
		f, err := Parse(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if got := f.Match(func(name string) []any { return run[name] }); got != want {
			t.Errorf("%s: got %v", src, got)
		}
	}
}

func TestErrors(t *testing.T) {
	for src, want := range map[string]string{
		`lr = 1`:                           "column 4: = is no comparison: write ==",
		`lr >`:                             "column 5: want a name, a number or text in quotes here, not the end",
		`lr > > 1`:                         "column 6: ",
		`(lr > 1`:                          "column 8: want ) here, not the end",
		`lr > 1 status`:                    "column 8: want and, or or the end, not status",
		`status == "done`:                  "column 11: text without its closing quote",
		`lr > 1 & lr < 2`:                  "column 8: '&' has no meaning here",
		`notebook ~ "(" `:                  "column 12: missing closing )",
		`notebook ~ lr`:                    "want a pattern in quotes",
		`3`:                                "want a comparison after a value",
		`and`:                              "not and",
		`ü > 1 and $`:                      "column 11: '$'",
		strings.Repeat("not ", 100) + "lr": "too many parentheses",
		strings.Repeat("lr > 1 and ", 300): "longer than",
	} {
		_, err := Parse(src)
		var place *Error
		if !errors.As(err, &place) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", src, err, want)
		}
	}
}

func TestNames(t *testing.T) {
	f, err := Parse(`lr > 1 and (lr < 2 or eval/loss == seed)`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.Names(), " "); got != "lr eval/loss seed" {
		t.Errorf("got %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`1e-5 < lr and not (status ~ "d.ne" or tag != 'x')`)
	f.Fuzz(func(t *testing.T, src string) {
		filter, err := Parse(src)
		var place *Error
		switch {
		case err == nil:
			filter.Match(func(name string) []any { return run[name] })
		case !errors.As(err, &place):
			t.Errorf("%q: %T says no place", src, err)
		}
	})
}
