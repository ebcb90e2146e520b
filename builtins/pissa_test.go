package builtins

import (
	"os"
	"testing"

	"starbook/runtime/cas"
)

// What PiSSA trains is kept as an adapter of the whole base: merged with it, it has the loss
// that it was kept for. Another patience makes no update.
func TestPiSSA(t *testing.T) {
	const tune = training + `
def thin(patience, **how):
    return lora.train(base, rows, validation = held, r = 2, lr = 0.02, epochs = 2.0, batch_size = 4, eval_steps = 5, patience = patience, init = "pissa", **how)
`
	b := trainingBench(t)
	if _, err := b.run(tune + `
a = thin(0)
m = lora.merge(base, a, type = "float32")
again = lora.train(m, rows, validation = held, r = 2, lr = 0.0, max_steps = 1, eval_steps = 1, patience = 0)
eq(abs(again.best_eval_loss - a.best_eval_loss) < 1e-5, True)
plain = lora.train(base, rows, validation = held, r = 2, lr = 0.02, epochs = 2.0, batch_size = 4, eval_steps = 5, patience = 0)
eq([plain.trainable == a.trainable, plain == a, plain.best_eval_loss == a.best_eval_loss], [True, False, False])
`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(tune + "thin(1)\n"); err != nil || b.updates() != 0 {
		t.Errorf("another patience made %d updates: %v", b.updates(), err)
	}
	if _, err := b.run(tune + "thin(0, quantise = \"int8\")\n"); err == nil {
		t.Error("pissa of a base that is rounded")
	}
}

// What PiSSA begins with is found once, for trainings that differ in anything else, and is not
// trusted: each is what it is where nothing was kept.
func TestPiSSAIsSharedToTheBit(t *testing.T) {
	const tune = training + `
def thin(lr, alpha = 4.0):
    return lora.train(base, rows, validation = held, r = 2, alpha = alpha, lr = lr, max_steps = 2, batch_size = 4, init = "pissa")
`
	kept := func(b *bench) [][]any {
		t.Helper()
		rows, err := b.store.Query(t.Context(), "SELECT output FROM step WHERE name = 'lora.principal'")
		if err != nil {
			t.Fatal(err)
		}
		return rows.Rows
	}
	train := func(b *bench, call string) any {
		t.Helper()
		if _, err := b.run(tune + call + "\n"); err != nil {
			t.Fatal(err)
		}
		rows, err := b.store.Query(t.Context(), "SELECT output FROM step WHERE name = 'lora.train' ORDER BY seq DESC LIMIT 1")
		if err != nil {
			t.Fatal(err)
		}
		return rows.Rows[0][0]
	}
	alone, b := trainingBench(t), trainingBench(t)
	want := train(alone, "thin(0.02)")
	train(b, "thin(0.01)")
	if got := train(b, "thin(0.02)"); got != want || len(kept(b)) != 1 {
		t.Errorf("trained %v beside another, %v alone, and kept %d beginnings", got, want, len(kept(b)))
	}
	g, err := cas.Parse(kept(b)[0][0].(string))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.store.Blobs.Path(g)); err != nil {
		t.Fatal(err)
	}
	want = train(alone, "thin(0.03)")
	if got := train(b, "thin(0.03)"); got != want || !b.store.Blobs.Has(g) {
		t.Errorf("trained %v after a loss, %v without one; kept again: %t", got, want, b.store.Blobs.Has(g))
	}
	train(b, "thin(0.03, alpha = 8.0)")
	if n := len(kept(b)); n != 2 {
		t.Errorf("with another scale: %d beginnings, want 2", n)
	}
}
