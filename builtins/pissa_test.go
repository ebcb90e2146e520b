package builtins

import "testing"

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
