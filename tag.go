package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"starbook/runtime/store"
)

func (a *app) tagCmd() *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use: "tag RUN NAME...", Short: "Give a run a word by which it is found: starbook show @paper", Args: cobra.MinimumNArgs(2),
		Example:           "  starbook tag @latest paper\n  starbook tag 3f9a paper --remove",
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sayOf(args[0], func(st *store.Store, r store.Run) error {
				for _, name := range args[1:] {
					change := st.Tag
					if remove {
						change = st.Untag
					}
					if err := change(r.ID, name); err != nil {
						return err
					}
				}
				r, err := st.Run(r.ID)
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "run %s: %s\n", r.ID, strings.Join(r.Tags, " "))
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "take the words away")
	return cmd
}

func (a *app) noteCmd() *cobra.Command {
	return &cobra.Command{
		Use: "note RUN TEXT", Short: "Write something about a run; starbook show prints it", Args: cobra.ExactArgs(2),
		Example:           "  starbook note @latest 'the first with the cleaned pairs'",
		ValidArgsFunction: a.completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.sayOf(args[0], func(st *store.Store, r store.Run) error { return st.AddNote(r.ID, args[1]) })
		},
	}
}

// sayOf opens the store, which must be there, for a change about one run.
func (a *app) sayOf(ref string, say func(*store.Store, store.Run) error) error {
	if st, err := a.open(false); err != nil {
		return err
	} else if err := st.Close(); err != nil {
		return err
	}
	st, err := a.open(true)
	if err != nil {
		return err
	}
	defer st.Close()
	r, err := st.Run(ref)
	if err != nil {
		return err
	}
	return say(st, r)
}
