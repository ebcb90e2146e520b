package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"starbook/gpu"
	"starbook/gpu/bench"
)

// benchable is something that is measured on a device.
type benchable interface {
	Run(ctx context.Context, dev gpu.Device) (*bench.Report, error)
}

func (a *app) benchCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure training, generation and single operations, with random weights",
	}
	cmd.AddCommand(benchTrainCmd(), benchDecodeCmd(), benchKernelsCmd())
	return cmd
}

func benchTrainCmd() *cobra.Command {
	o := bench.Train{Job: bench.Job{Epochs: 3, HeldOut: 0.05, Every: 500}}
	cmd := benchCmd("train", "Measure updates of a LoRA adapter on all seven projections", &o)
	f := cmd.Flags()
	f.IntVar(&o.Rank, "rank", 64, "of the adapter")
	f.IntVar(&o.Tokens, "tokens", 1024, "of an example; of the longest if --ragged")
	f.BoolVar(&o.Ragged, "ragged", false, "spread the lengths evenly from a fifth of --tokens up")
	f.Float64Var(&o.Trained, "trained", 1, "share of an example that is trained, its end")
	f.IntVar(&o.Batch, "batch", 8, "examples of an update")
	f.IntVar(&o.Rows, "rows", 0, "tokens computed at a time at most; 0: a whole update")
	f.IntVar(&o.Steps, "steps", 20, "updates that are measured")
	f.IntVar(&o.Warmup, "warmup", 4, "updates before these")
	f.IntVar(&o.Job.Examples, "job", 0, "extrapolate to a training on so many examples; 0: do not")
	f.IntVar(&o.Job.Epochs, "job-epochs", o.Job.Epochs, "of that training")
	shapeFlags(cmd, &o.Shape, &o.Weights, &o.Seed, &o.Best)
	return cmd
}

func benchDecodeCmd() *cobra.Command {
	var o bench.Decode
	cmd := benchCmd("decode", "Measure greedy completions of many prompts", &o)
	f := cmd.Flags()
	f.IntVar(&o.Rank, "rank", 0, "of an adapter on all seven projections; 0: none")
	f.IntVar(&o.Batch, "batch", 32, "sequences at a time")
	f.IntVar(&o.Prompts, "prompts", 0, "0: twice the batch")
	f.IntVar(&o.Prompt, "prompt", 256, "tokens of a prompt")
	f.IntVar(&o.New, "new", 256, "tokens of a completion; of the longest if --ragged")
	f.BoolVar(&o.Ragged, "ragged", false, "spread the completions' lengths evenly from a fifth of --new up")
	f.BoolVar(&o.Static, "static", false, "end a batch before the next begins, instead of batching continuously")
	f.IntVar(&o.Rows, "rows", 8192, "prompt tokens computed at a time")
	f.IntVar(&o.Steps, "steps", 3, "repetitions that are measured")
	f.IntVar(&o.Warmup, "warmup", 1, "repetitions before these")
	shapeFlags(cmd, &o.Shape, &o.Weights, &o.Seed, &o.Best)
	return cmd
}

func benchKernelsCmd() *cobra.Command {
	var o bench.Kernels
	cmd := benchCmd("kernels", "Measure every operation, beside the bytes and the arithmetic that it needs", &o)
	f := cmd.Flags()
	f.IntVar(&o.Rank, "rank", 64, "of the adapter")
	f.IntVar(&o.Tokens, "tokens", 1024, "of a sequence")
	f.IntVar(&o.Batch, "batch", 8, "sequences")
	f.IntVar(&o.Slots, "slots", 256, "sequences that are generated at a time")
	f.IntVar(&o.N, "n", 9, "measurements of each")
	shapeFlags(cmd, &o.Shape, &o.Weights, nil, &o.Best)
	return cmd
}

// benchCmd is the verb that measures what.
func benchCmd(name, short string, what benchable) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			dev, err := openDevice()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, dev.Close()) }()
			r, err := what.Run(cmd.Context(), dev)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), r)
			}
			return printReport(cmd.OutOrStdout(), r)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shapeFlags are the flags that all benches have.
func shapeFlags(cmd *cobra.Command, shape, weights *string, seed *uint64, best *bench.Best) {
	f := cmd.Flags()
	f.StringVar(shape, "shape", "qwen3-0.6b", "of the model: "+strings.Join(bench.Shapes(), ", "))
	f.StringVar(weights, "weights", "bf16", "type of the model's weights: bf16 or f32")
	f.IntVar(&best.Side, "gemm", 0, "side of the square product that is the yardstick; 0: what suits the device")
	f.IntVar(&best.MiB, "copy", 0, "MiB of the copy that is the yardstick; 0: 256")
	if seed != nil {
		f.Uint64Var(seed, "seed", 1, "of weights and tokens")
	}
	_ = cmd.RegisterFlagCompletionFunc("shape", cobra.FixedCompletions(bench.Shapes(), cobra.ShellCompDirectiveNoFileComp))
}

func printReport(w io.Writer, r *bench.Report) error {
	fmt.Fprintf(w, "%s %s on %s\n", r.Bench, r.Shape, r.Device)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Figures {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Name, f, f.Note)
	}
	if len(r.Ops) > 0 {
		fmt.Fprintln(t, "\nOPERATION\tSIZE\tTIME\tGB/s\tOF THE COPY\tTFLOP/s\tOF THE GEMM")
	}
	for _, op := range r.Ops {
		gbps, tflops := op.Rate()
		arithmetic, share := "", ""
		if op.FLOP > 0 {
			arithmetic, share = fmt.Sprintf("%.3g", tflops), fmt.Sprintf("%.0f %%", op.GEMM.Value)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.4g\t%.0f %%\t%s\t%s\n", op.Name, op.Size, op.Time, gbps, op.Copy.Value, arithmetic, share)
	}
	return t.Flush()
}
