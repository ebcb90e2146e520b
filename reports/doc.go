// Package reports turns what the store remembers into pages and files for
// other tools. A page is one HTML file that needs nothing but itself: no
// script, no request, no clock. It is a pure function of the store's rows, so
// the same runs give the same bytes.
//
// What a page shows is what the built-ins wrote down. They agree with this
// package on names:
//
// Series of a training step, x being the number of the update:
//
//	train/loss  train/grad_norm  train/learning_rate  train/tokens_per_second
//	eval/loss   eval/perplexity
//
// The summary of a training step:
//
//	{"best_step": 2000, "best_eval_loss": 0.41, "stopped_step": 3500,
//	 "stopped": "patience" or "end", "patience": 3, "eval_steps": 500,
//	 "decisions": ["eval 4: …"], "trainable": …, "tokens": …, "epochs": …, "rows": …}
//
// An evaluation has output kind "scores", its samples under its fingerprint
// (store.Samples) and the summary
//
//	{"n": 1250, "passed": 812, "pass_rate": 0.6496, "model": "base", "grader": "regex",
//	 "outcomes": {"pass": 812, "fail": 400, "truncated": 38}}
//
// where an outcome is one of pass, fail, truncated, empty, unparsable, refused,
// unscored. A merge says {"retained": 0.98, "error": 0.01, "tensors": 21}, of
// which retained is a fraction of 1; a distillation says {"asked": 2000,
// "from_ledger": 0, "rejected": 3, "input_tokens": …, "output_tokens": …,
// "cost_usd": …, "teacher": "practice"}; a dataset says {"rows": 500}. Other
// scalars of a summary are shown under their own names.
//
// The shapes of what a script puts into its report are event.TableData,
// event.PlotData and event.CompareData. The last comparison of a run is its
// verdict. Without one, the best trial stands for a run of three trainings or
// more (a sweep: the evaluation of a trial is the one that rests on its adapter
// alone, by Step.Inputs and Output), and the last evaluation for another.
//
// How a page is made: load.go reads a run, summary.go understands the summaries
// of its steps, runpage.go, outputs.go and compare.go decide what stands where,
// chart.go, bars.go, gantt.go, parallel.go and lineage.go draw on canvas.go, templates/ and style.css say how it looks, and
// inert.go makes sure that no text can act. Index and Log make the pages that only the live
// page's server has; package live puts all of them into a browser.
package reports
