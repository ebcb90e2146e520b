package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"starbook/runtime/event"
	"starbook/runtime/store"
)

func (a *app) gcCmd() *cobra.Command {
	var yes, trajectories, asJSON bool
	var limit string
	var keep []string
	cmd := &cobra.Command{
		Use: "gc", Short: "Say what nothing refers to any more, or what is beyond a size; with --yes remove it", Args: cobra.NoArgs,
		Long: "Without --max it is about bytes that nothing refers to. With --max the artifacts of the steps that were unused longest\n" +
			"go too, until the rest takes no more than that. Their rows, curves and answers stay, so that reports stay as they are, and so\n" +
			"do the answers of teachers; a run that needs such an artifact again does its step again.",
		Example: "  starbook gc\n  starbook gc --max 20GB --keep best,tagged --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := quota(limit, keep)
			if err != nil {
				return err
			}
			q.Delete = yes
			st, err := a.open(yes)
			if err != nil {
				return err
			}
			defer st.Close()
			c := cleaning{done: yes, trajectories: trajectories}
			if limit != "" {
				shrunk, err := st.Shrink(q)
				if err != nil {
					return err
				}
				c.Shrunk, c.max = &shrunk, q.Max
			}
			if c.Garbage, err = st.GC(store.GCOptions{Trajectories: trajectories, Delete: yes}); err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), c)
			}
			return c.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&limit, "max", "", "bytes that artifacts may take: 20GB, 500MB")
	cmd.Flags().StringSliceVar(&keep, "keep", []string{"best", "tagged"}, "whose artifacts stay whatever they take: of the best run of each notebook (as its last sweep has it, else the highest score), of tagged runs")
	cmd.Flags().BoolVar(&yes, "yes", false, "remove it")
	cmd.Flags().BoolVar(&trajectories, "trajectories", false, "also the checkpoints that let a training with another patience take over")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// quota reads --max and --keep.
func quota(limit string, keep []string) (q store.Quota, err error) {
	if limit != "" {
		if q.Max, err = parseBytes(limit); err != nil {
			return q, fmt.Errorf("%w: --max %s: %w", errUsage, limit, err)
		}
	}
	for _, word := range keep {
		switch word {
		case "best":
			q.Best = true
		case "tagged":
			q.Tagged = true
		case "none":
		default:
			return q, fmt.Errorf("%w: --keep %s: there are best, tagged and none", errUsage, word)
		}
	}
	return q, nil
}

// parseBytes reads 20GB, in powers of ten.
func parseBytes(s string) (int64, error) {
	number := strings.TrimRight(strings.ToUpper(strings.TrimSpace(s)), "BKMGT")
	unit, ok := map[string]float64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[strings.ToUpper(strings.TrimSpace(s))[len(number):]]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || n < 0 || n*unit > 1<<62 {
		return 0, errors.New("write a size, such as 20GB or 500MB")
	}
	return int64(n * unit), nil
}

// cleaning is what gc found or removed.
type cleaning struct {
	store.Garbage
	Shrunk *store.Shrunk `json:"shrunk,omitempty"`

	done, trajectories bool
	max                int64
}

func (c cleaning) print(w io.Writer) error {
	verb := "would remove (say --yes to do it)"
	if c.done {
		verb = "removed"
	}
	if s := c.Shrunk; s != nil {
		for _, g := range s.Steps {
			used := "used last in run " + g.Run
			if g.Run == "" {
				used = "shared by steps"
			}
			fmt.Fprintf(w, "  %s %s  %s, %s; to do it again takes %s, $%.2f\n",
				g.Key.Short(), g.Name, megabytes(float64(g.Bytes)), used, event.Seconds(g.Seconds), g.CostUSD)
		}
		fmt.Fprintf(w, "%s: the artifacts of %s: %s before, %s after\n", verb, plural(len(s.Steps), "step"), megabytes(float64(s.Before)), megabytes(float64(s.After)))
		if s.After > c.max {
			fmt.Fprintf(w, "more than %s is left: the rest is kept (--keep), or no artifact\n", megabytes(float64(c.max)))
		}
	}
	_, err := fmt.Fprintf(w, "%s: %s and the scratch of %s, %s\n", verb, plural(c.Blobs, "blob"), plural(c.Scratch, "step"), megabytes(float64(c.Bytes)))
	if c.Trajectories > 0 {
		verb := "kept for trainings with another patience (--trajectories to remove them)"
		if c.trajectories {
			verb = "trajectories too"
		}
		_, err = fmt.Fprintf(w, "%s: %d, %s\n", verb, c.Garbage.Trajectories, megabytes(float64(c.TrajectoryBytes)))
	}
	return err
}
