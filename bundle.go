package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// A bundle is a tar file: blobs/DIGEST for the bytes, then rows.json. Bytes come first, so that a
// broken one leaves nothing but orphans behind.
const (
	bundleBlobs = "blobs/"
	bundleRows  = "rows.json"
)

// exportBundle writes the same bytes for the same runs: nothing in it knows when.
func exportBundle(w io.Writer, st *store.Store, runs []string) error {
	b, err := st.Bundle(runs)
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	for _, g := range b.Blobs() {
		if !st.Blobs.Has(g) {
			continue // given up by gc --max
		}
		if err := bundleBlob(out, st, g); err != nil {
			return err
		}
	}
	rows, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: bundleRows, Mode: 0o644, Size: int64(len(rows))}); err != nil {
		return err
	}
	if _, err := out.Write(rows); err != nil {
		return err
	}
	return out.Close()
}

func bundleBlob(out *tar.Writer, st *store.Store, g cas.Digest) error {
	f, err := st.Blobs.Open(g)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := st.Blobs.Size(g)
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: bundleBlobs + g.String(), Mode: 0o444, Size: size}); err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}

func (a *app) importCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "import BUNDLE...", Short: "Add the runs of bundles to the store: a union, however often it is done", Args: cobra.MinimumNArgs(1),
		Example: "  starbook import two.starbook",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, path := range args { // before a store is made for nothing
				if _, err := os.Stat(path); err != nil {
					return fmt.Errorf("import: %w", err)
				}
			}
			st, err := a.open(true)
			if err != nil {
				return err
			}
			defer st.Close()
			var all store.Adopted
			for _, path := range args {
				got, err := importBundle(st, path)
				if err != nil {
					return fmt.Errorf("import: %s: %w", path, err)
				}
				all.Runs, all.Steps, all.Blobs = all.Runs+got.Runs, all.Steps+got.Steps, all.Blobs+got.Blobs
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), all)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "new here: %s, %s, %s\n", plural(all.Runs, "run"), plural(all.Steps, "step"), plural(all.Blobs, "blob"))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// importBundle takes the bytes, each under the digest that it must have, then the rows.
func importBundle(st *store.Store, path string) (got store.Adopted, err error) {
	f, err := os.Open(path)
	if err != nil {
		return got, err
	}
	defer f.Close()
	in, blobs := tar.NewReader(f), 0
	for {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			return got, errors.New("no rows in it: this is no bundle, or only a part of one")
		}
		if err != nil {
			return got, fmt.Errorf("this is no bundle, or only a part of one: %w", err)
		}
		if hex, ok := strings.CutPrefix(head.Name, bundleBlobs); ok {
			fresh, err := importBlob(st, hex, in)
			if err != nil {
				return got, err
			}
			if fresh {
				blobs++
			}
			continue
		}
		if head.Name != bundleRows {
			return got, fmt.Errorf("%q in it: this is no bundle", head.Name)
		}
		var b store.Bundle
		if err := json.NewDecoder(in).Decode(&b); err != nil {
			return got, err
		}
		got, err = st.Adopt(&b)
		got.Blobs = blobs
		return got, err
	}
}

func importBlob(st *store.Store, hex string, in io.Reader) (fresh bool, err error) {
	want, err := cas.Parse(hex)
	if err != nil {
		return false, err
	}
	if st.Blobs.Has(want) {
		return false, nil
	}
	w, err := st.Blobs.Create()
	if err != nil {
		return false, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, in); err != nil {
		return false, err
	}
	got, err := w.Commit()
	if err == nil && got != want {
		err = fmt.Errorf("the bytes of blob %s have the digest %s: the bundle is damaged", want.Short(), got.Short())
	}
	return true, err
}
