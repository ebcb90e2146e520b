package builtins

import (
	"context"
	"errors"
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"starbook/runtime/event"
	"starbook/runtime/stats"
)

type forgettingArgs struct {
	Before Handle  `arg:"before" kind:"scores" doc:"of eval.run, with the model as it was"`
	After  Handle  `arg:"after" kind:"scores" doc:"of eval.run on the same items, with the trained model"`
	Suite  string  `arg:"suite" doc:"what the items test, for the report"`
	Margin float64 `arg:"margin=0.01" doc:"loss of pass rate that is accepted: 0.01 is one point"`
}

func (a *forgettingArgs) check() error {
	if a.Margin <= 0 || a.Margin >= 1 {
		return errors.New("margin: want a share between 0 and 1, such as 0.01")
	}
	return nil
}

func evalForgetting() Func {
	return plain("eval.forgetting", "Tests whether a trained model still passes what it passed before, up to a margin.\n"+
		"Not \"no difference was found\", but \"a loss of more than the margin is ruled out\" (non-inferiority, Tango's score test, one-sided at 5 %).\n"+
		"Returns a struct with ok, p, diff, low (one-sided 95 % bound), items, fixed, broken and margin, and puts it into the report.",
		func(_ context.Context, c *Call, a forgettingArgs) (starlark.Value, error) {
			data, pairs, err := compareScores(c.Run.Store, a.Before, a.After)
			if err != nil {
				return nil, err
			}
			_, iv, err := contrastOf(pairs).interval(0.9) // its lower end is the one-sided 95 % bound
			if err != nil {
				return nil, err
			}
			data.Title, data.Margin = "Forgetting: "+a.Suite, a.Margin
			data.PMargin = stats.NonInferior(data.Items, data.Broken, data.Fixed, a.Margin)
			ok := data.PMargin < 0.05 && (data.Clusters == 0 || iv.Lo > -a.Margin) // the test takes items for independent
			if err := c.show(event.Compare, forgettingText(a, data, ok), data); err != nil {
				return nil, err
			}
			return starlarkstruct.FromStringDict(starlark.String("forgetting"), starlark.StringDict{
				"ok": starlark.Bool(ok), "p": starlark.Float(data.PMargin), "diff": starlark.Float(data.Diff), "low": starlark.Float(iv.Lo),
				"items": starlark.MakeInt(data.Items), "fixed": starlark.MakeInt(data.Fixed), "broken": starlark.MakeInt(data.Broken), "margin": starlark.Float(a.Margin),
			}), nil
		})
}

func forgettingText(a forgettingArgs, d event.CompareData, ok bool) string {
	verdict := "is NOT ruled out"
	if ok {
		verdict = "is ruled out"
	}
	return fmt.Sprintf("%s: a loss of more than %.1f points %s (p = %.2g; %+.1f points, %d items)", a.Suite, 100*a.Margin, verdict, d.PMargin, 100*d.Diff, d.Items)
}
